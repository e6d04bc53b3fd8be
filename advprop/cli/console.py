"""What the commands of the command line share."""

import os
import shutil
import sys
from typing import Annotated

from tyro.conf import FlagCreatePairsOff

Switch = Annotated[bool, FlagCreatePairsOff]


def rank() -> int:
    """The number of this process among those of torchrun or SLURM."""
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)


def ranks() -> int:
    """The number of processes that torchrun or SLURM has started."""
    return int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)


def say(text: str) -> None:
    """Writes a line to the standard output."""
    sys.stdout.write(f"{text}\n")


def complain(message: str) -> None:
    """Writes what went wrong to the standard error, as one line."""
    who = f"advprop, rank {rank()}" if rank() else "advprop"
    sys.stderr.write(f"{who}: {' '.join(message.split())}\n")


def width() -> int:
    """Columns that a table may take."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120)
