"""Running out of memory: one error for all the ways in which torch, NumPy and the system report it."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# RuntimeErrors of torch, its libraries and C++: CUDA, MPS, the CPU's allocator, cuBLAS, cuDNN, shared memory.
_REPORT = re.compile(r"out of memory|can(no|')t allocate memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE)
_WANTED = re.compile(r"[Tt]ried to allocate [\d.]+ \w+")


class OutOfMemory(MemoryError):
    """The device or the machine has no memory left; the message says what to lower."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that there is no memory left.

    Examples:
        >>> from advprop.runtime import is_out_of_memory
        >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _REPORT.search(str(error)) is not None
    )


@contextmanager
def short_of_memory(where: str, advice: Callable[[], str]) -> Iterator[None]:
    """Raises OutOfMemory instead of any other report that there is no memory left.

    Args:
        where: What is being done, such as `"in a test"`; may be empty.
        advice: Says what to lower; called when it is needed.

    Raises:
        OutOfMemory: If there is no memory left. One that was raised inside stays as it is.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
            raise
        wanted = _WANTED.search(str(error))
        found = ["out of memory", where, f"({wanted[0].replace('Tried', 'tried')})" if wanted else ""]
        raise OutOfMemory(f"{' '.join(filter(None, found))}: {advice()}") from error
