"""The processes that read images: how many, when they end, and what is reported if one ends early."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def obey_only_the_trainer(worker: int) -> None:
    """What stops a run is often sent to all its processes; those that read live until it has been saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trainer = multiprocessing.parent_process()
    if trainer is not None and hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_the_end, args=(trainer.pid,), daemon=True).start()


def _wait_for_the_end(trainer: int) -> None:
    """Ends this process when that one wants it."""
    while (told := signal.sigwaitinfo({signal.SIGTERM})) is None or told.si_pid != trainer:
        pass
    os._exit(0)


def batches_of(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of a loader; the end of one of its processes is reported in one line.

    torch would raise it at once, wherever this process is at the moment, in a save or in a log; without that
    the loader finds it when it waits for a batch.

    Raises:
        OSError: If a process that reads images has ended.
    """
    on_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD) if on_main and hasattr(signal, "SIGCHLD") else None
    try:
        batches = iter(loader)
        if before is not None:
            signal.signal(signal.SIGCHLD, before)
        yield from batches
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise OSError(
            f"a process that reads images has ended ({' '.join(str(error).split())}); if it was short of "
            "memory, fewer processes (--workers) need less"
        ) from error
