"""Images that are read from files as they are needed, by processes of their own.

The random changes of an image are seeded by the run's seed, the epoch and the image's number. So neither
the number of these processes nor an interruption changes what an epoch consists of.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from PIL import Image
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from advprop.data.batches import Batch
from advprop.data.image_files import in_channels
from advprop.runtime import seed_cpu

logger = logging.getLogger(__name__)


class BadImageError(OSError):
    """An image cannot be read, or its label is none of the classes; the message names it."""


class Sample(NamedTuple):
    """An image as its transform leaves it, or why there is none."""

    image: Any
    label: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How images are read.

    Args:
        transform: PIL image to bytes `[C, H, W]`.
        channels: 1 for grey images, 3 for colour.
        classes: Number of classes, for a check of the labels.
        seed: Seed of the transform; None for testing, where it has nothing random.
        bad_images: Whether to `"stop"` at an image that cannot be read, or to `"skip"` it: in training for
            the next one, in testing for none, so that no image counts twice.
        workers: Number of processes that read, at most one for each processor; 0 reads in this one.
    """

    transform: Callable[[Image.Image], Any]
    channels: int
    classes: int
    seed: int | None = None
    bad_images: Literal["stop", "skip"] = "stop"
    workers: int = 0


class LoadedSet:
    """An image set whose images are read one by one.

    Args:
        source: timm's `ImageDataset`, or anything whose items are (PIL image, label).
        reading: How to read them.
        device: Where the batches should be.
    """

    def __init__(self, source: Any, reading: Reading, device: torch.device | str = "cpu") -> None:
        self.source = source
        self.reading = reading
        self.device = torch.device(device)
        self.keys = _Keys()
        self.skipped: set[str] = set()
        self._loader: DataLoader[Any] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device | str) -> LoadedSet:
        """The same set, with batches on a device."""
        return LoadedSet(self.source, self.reading, device)

    def batches(self, numbers: Iterator[list[int]], epoch: int = 0) -> Iterator[Batch]:
        """Pixels `[B, C, H, W]` in [0, 1] and labels `[B]` of each list of numbers, on the device.

        Raises:
            BadImageError: If an image cannot be read, or its label is none of the classes.
        """
        if self._loader is None:
            self._loader = self._make_loader()
        self.keys.now = ([(epoch, number) for number in wanted] for wanted in numbers)
        channels = self.reading.channels
        # Pixels stay pixels: the task normalises them.
        prefetched = PrefetchLoader(
            cast(Any, _Checked(self._loader, self.reading, self._note)),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            channels=channels,
            device=self.device,
        )
        yield from prefetched

    def _make_loader(self) -> DataLoader[Any]:
        workers = min(self.reading.workers, _processors())
        return DataLoader(
            _Samples(self.source, self.reading),
            batch_sampler=self.keys,
            collate_fn=_collate,
            num_workers=workers,
            worker_init_fn=_obey_the_trainer_alone,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
        )

    def _note(self, problems: tuple[str, ...]) -> None:
        """Names the images that were skipped, each once."""
        for problem in problems:
            if problem not in self.skipped:
                self.skipped.add(problem)
                logger.warning("skipped %s (%d so far)", problem, len(self.skipped))


@dataclass
class _Keys:
    """The (epoch, number) of each image of each batch that is wanted now."""

    now: Iterator[list[tuple[int, int]]] = field(default_factory=lambda: iter(()))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.now


class _Samples(Dataset[Sample]):
    """The images of a source by (epoch, number)."""

    def __init__(self, source: Any, reading: Reading) -> None:
        self.source = source
        self.reading = reading

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, number = key
        problems: tuple[str, ...] = ()
        for at in range(number, number + len(self.source)):
            at %= len(self.source)
            try:
                return self._sample(epoch, at, problems)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                problems += (f"{name_of(self.source, at)}: {error}",)
                if self.reading.bad_images == "stop" or self.reading.seed is None:
                    break
        return Sample(None, -1, problems)

    def _sample(self, epoch: int, number: int, problems: tuple[str, ...]) -> Sample:
        image, label = self._read(number)
        if self.reading.seed is not None:
            seed_cpu(self.reading.seed, epoch, number, 0)
        return Sample(self.reading.transform(image), label, problems)

    def _read(self, number: int) -> tuple[Image.Image, int]:
        """The image, decoded, and its label."""
        channels = self.reading.channels
        if (reader := getattr(self.source, "reader", None)) is None:
            image, label = self.source[number]
            return in_channels(image, channels), int(label)
        file, label, *_ = reader[number]
        with file, Image.open(file) as image:
            if not 0 <= label < self.reading.classes:
                raise ValueError(f"its label is {label}, and there are {self.reading.classes} classes")
            return in_channels(image, channels), int(label)


class _Checked:
    """The batches of a loader, where no image has stopped it."""

    def __init__(
        self, loader: DataLoader[Any], reading: Reading, note: Callable[[tuple[str, ...]], None]
    ) -> None:
        self.loader = loader
        self.note = note
        self.may_lack = reading.bad_images == "skip" and reading.seed is None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels, unread, problems in batches_of(self.loader):
            if unread and not self.may_lack:
                raise BadImageError(
                    f"cannot read {unread[-1]}; mend it, or go on without (--bad-images skip)"
                )
            self.note(problems)
            if images is not None:
                yield images, labels


def batches_of(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of a loader; the end of one of its processes is told in a line.

    torch would raise it at once, wherever this process is at the moment, in a save or in a log; without that
    the loader finds it when it waits for a batch.
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


def _collate(samples: list[Sample]) -> tuple[Tensor | None, Tensor | None, tuple[str, ...], tuple[str, ...]]:
    """Images, labels, what is wrong with one that is missing, and all that is wrong."""
    unread = next((sample.problems for sample in samples if sample.image is None), ())
    problems = tuple(problem for sample in samples for problem in sample.problems)
    read = [(sample.image, sample.label) for sample in samples if sample.image is not None]
    images, labels = fast_collate(read) if read else (None, None)
    return images, labels, unread, problems


def _obey_the_trainer_alone(worker: int) -> None:
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


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def name_of(source: Any, number: int) -> str:
    """The file of an image, or its number where it has none."""
    if hasattr(source, "filename"):
        name = source.filename(number, absolute=True)
        return str(Path(name)) if name else f"image {number}"
    samples = getattr(source, "samples", None)
    return str(samples[number][0]) if samples else f"image {number}"
