"""Checkpoints that survive whatever happens to the process: each is whole or not there, and is checked.

A checkpoint is one file, `step-00000120-<checksum>.pt`, that `torch.load(..., weights_only=True)` opens.
Its name holds the beginning of the SHA-256 of its content, so name and content appear in one rename.
"""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from advprop.runtime import patiently

_NAME = re.compile(r"step-(\d+)-([0-9a-f]{16})\.pt")
_PARTIAL = ".partial-"

logger: logging.Logger = logging.getLogger(__name__)


class CheckpointError(OSError):
    """A checkpoint cannot be written or read; the message says which, why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: Where they are; made when the first one is saved.
        keep: How many of the latest are kept.

    Examples:
        >>> import tempfile, torch
        >>> from advprop.runs.checkpoints import Checkpoints
        >>> checkpoints = Checkpoints(directory=tempfile.mkdtemp())
        >>> path = checkpoints.save({"step": 7, "weight": torch.ones(2)}, step=7)
        >>> checkpoints.latest()["step"]
        7
    """

    directory: Path | str
    keep: int = 2

    def save(self, state: Mapping[str, Any], step: int, protect: Collection[int] = ()) -> Path:
        """Writes a checkpoint; it replaces the oldest ones once it is safely on the disk.

        Args:
            state: Tensors, numbers, texts, and lists and dictionaries of them.
            step: Number of optimizer steps that led to this state. Checkpoints of later steps are deleted.
            protect: Steps whose checkpoints stay beside the latest ones: that of the best accuracy.

        Raises:
            CheckpointError: If the file cannot be written: no space, no permission.
        """
        directory = Path(self.directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            partial = directory / f"{_PARTIAL}{os.getpid()}"
            with partial.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            path = directory / f"step-{step:08d}-{_checksum(partial)}.pt"
            patiently(lambda: partial.replace(path))
            _sync(directory)
        except (OSError, RuntimeError) as error:
            if (reason := _reason(error)) is None:
                raise
            there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
            raise CheckpointError(
                f"cannot save a checkpoint in {directory}: {reason.strerror or reason} "
                f"({_mib(shutil.disk_usage(there).free)} are free)"
            ) from error
        finally:
            for left_over in directory.glob(f"{_PARTIAL}*"):
                left_over.unlink()
        self._prune(path, protect)
        return path

    def check_room(self, to_come: int, growth: int = 0) -> None:
        """Raises CheckpointError if so many, `growth` bytes larger than the largest, cannot fit on the disk.

        There are the latest, the best, and the new one, which is written before the oldest is deleted.
        """
        sizes = [path.stat().st_size for path in self.paths()]
        largest = max(sizes, default=0) + growth
        wanted = max(largest, min(to_come * largest, (self.keep + 2) * largest - sum(sizes)))
        free = shutil.disk_usage(self.directory).free
        if free < wanted:
            raise CheckpointError(
                f"the checkpoints in {self.directory} will take {_mib(wanted)} more at least, and "
                f"{_mib(free)} are free; make room, choose another directory, or keep fewer (--keep)"
            )

    def latest(self) -> dict[str, Any] | None:
        """The state of the newest whole checkpoint, on the CPU; None if none was ever saved.

        A truncated or altered checkpoint is named in a warning of the log, and the one before it is taken.

        Raises:
            CheckpointError: If there are checkpoints, but all of them are damaged.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return load(path)
            except (CheckpointError, FileNotFoundError) as error:
                if not path.exists():  # a run that goes on has put a newer one in its place
                    return self.latest()
                before = "; the one before it is tried" if path != paths[0] else ""
                logger.warning("%s%s", error, before)
        if paths:
            raise CheckpointError(
                f"all {len(paths)} checkpoints in {self.directory} are damaged; "
                "start anew in another directory (--out)"
            )
        return None

    def paths(self) -> list[Path]:
        """The checkpoints, oldest first; a step may have two, if the run ended in the middle of a save."""
        found = (path for path in Path(self.directory).glob("step-*.pt") if _NAME.fullmatch(path.name))
        return sorted(found, key=_age)

    def _prune(self, saved: Path, protect: Collection[int]) -> None:
        """Leaves the latest up to the one just saved: those of later steps could not be read."""
        before = {_step_of(path): path for path in self.paths() if _step_of(path) < _step_of(saved)}
        known = [*before.values(), saved]
        for path in self.paths():
            if path not in known[-self.keep :] and (path not in known or _step_of(path) not in protect):
                patiently(path.unlink)


def load(path: Path | str) -> dict[str, Any]:
    """The state in a checkpoint, on the CPU, if its content is what was saved.

    Raises:
        CheckpointError: If it is not a checkpoint, is not there, or is truncated or altered.
    """
    path = Path(path)
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise CheckpointError(f"{path} is not the name of a checkpoint: step-<number>-<checksum>.pt")
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    if (found := _checksum(path)) != name[2]:
        raise CheckpointError(f"the checkpoint {path} is truncated or altered: its checksum is {found}")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _sync(directory: Path) -> None:
    """Makes a rename in the directory last, on systems where a directory can be opened."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(directory, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _step_of(path: Path) -> int:
    return int(path.name.split("-")[1])


def _age(path: Path) -> tuple[int, int]:
    """The step of a checkpoint and the time when it was saved."""
    try:
        return _step_of(path), path.stat().st_mtime_ns
    except FileNotFoundError:  # a newer one has taken its place
        return _step_of(path), 0


def _reason(error: BaseException | None) -> OSError | None:
    """What the system said; torch tells of its own trouble with it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _mib(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"
