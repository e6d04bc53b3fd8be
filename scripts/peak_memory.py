"""The most memory that something takes beyond what is allocated before it, in bytes."""

import os
from collections.abc import Callable
from itertools import accumulate
from typing import Any, TypeVar

import torch
from torch.autograd.profiler import profile

Result = TypeVar("Result")


def peak_bytes(device: torch.device, work: Callable[[], Result]) -> tuple[Result, int]:
    """What some work returns, and the largest sum of its tensors' bytes on the device at one time.

    On a GPU torch's allocator has counted it; on a CPU a profile lists each allocation.
    """
    if device.type != "cpu":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = work()
        torch.cuda.synchronize(device)
        return result, torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else each start and stop is a line
    with profile(profile_memory=True) as profiled:
        result = work()
    found: Any = profiled.kineto_results
    changes = sorted((each.start_ns(), each.nbytes()) for each in found.events() if each.name() == "[memory]")
    return result, max(accumulate((size for _, size in changes), initial=0))
