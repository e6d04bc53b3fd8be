"""A profile of some steps of a run: a trace in its directory, and the operations that take longest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import ProfilerActivity, profile, schedule
from tqdm import tqdm

from advprop.runtime import World

TRACE = "trace.json"
WARM_UP = 3  # steps before the profile: kernels are chosen, memory is allocated
OPERATIONS = 10  # of the table


def check_profile(steps: int | None, left: int) -> None:
    """Raises ValueError unless a run with so many steps left has those of a profile and of its warm-up."""
    if steps is None:
        return
    if steps < 1:
        raise ValueError(f"--profile takes 1 step or more, got {steps}; leave it out for no profile")
    if left < WARM_UP + steps:
        raise ValueError(
            f"--profile {steps} needs {WARM_UP + steps} steps with its warm-up, and the run has {left} left; "
            "take fewer, or more --epochs"
        )


@contextmanager
def profiling(steps: int | None, directory: Path, world: World) -> Iterator[Callable[[], None]]:
    """Profiles steps on the first rank; what it gives is called after each step.

    The trace is in the format of Chrome and Perfetto.

    Args:
        steps: How many, after the warm-up; None for no profile.
        directory: Where `trace.json` is written.
        world: This process among the ranks.
    """
    if steps is None or not world.is_first:
        yield lambda: None
        return
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else torch tells of its start, and of missing GPUs
    on_gpu = world.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]

    def ready(profiled: profile) -> None:
        trace = directory / TRACE
        profiled.export_chrome_trace(str(trace))
        order = f"self_{'cuda' if on_gpu else 'cpu'}_time_total"
        table = profiled.key_averages().table(sort_by=order, row_limit=OPERATIONS, max_name_column_width=40)
        tqdm.write(f"{table}\n{steps} steps, in {trace}")

    plan = schedule(wait=WARM_UP - 1, warmup=1, active=steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=ready) as running:
        yield running.step
