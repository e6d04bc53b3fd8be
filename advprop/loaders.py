"""Images that are read from files as they are needed, by processes of their own.

The random changes of an image are seeded by the run's seed, the epoch and the image's number. So neither
the number of these processes nor an interruption changes what an epoch consists of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from PIL import Image
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from advprop.data import Batch
from advprop.world import seed_cpu

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
        seed: Seed of the transform; None where it has nothing random.
        bad_images: Whether to `"stop"` at an image that cannot be read, or to `"skip"` to the next one.
        workers: Number of processes that read; 0 reads in this one.
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
            cast(Any, _Checked(self._loader, self._note)),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            channels=channels,
            device=self.device,
        )
        yield from prefetched

    def _make_loader(self) -> DataLoader[Any]:
        workers = self.reading.workers
        return DataLoader(
            _Samples(self.source, self.reading),
            batch_sampler=self.keys,
            collate_fn=_collate,
            num_workers=workers,
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
                image, label = self._read(at)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                problems += (f"{name_of(self.source, at)}: {error}",)
                if self.reading.bad_images == "stop":
                    break
                continue
            if self.reading.seed is not None:
                seed_cpu(self.reading.seed, epoch, at, 0)
            return Sample(self.reading.transform(image), label, problems)
        return Sample(None, -1, problems)

    def _read(self, number: int) -> tuple[Image.Image, int]:
        """The image, decoded, and its label."""
        mode = "L" if self.reading.channels == 1 else "RGB"
        if (reader := getattr(self.source, "reader", None)) is None:
            image, label = self.source[number]
            return image.convert(mode), int(label)
        file, label, *_ = reader[number]
        with file, Image.open(file) as image:
            if not 0 <= label < self.reading.classes:
                raise ValueError(f"its label is {label}, and there are {self.reading.classes} classes")
            return image.convert(mode), int(label)


class _Checked:
    """The batches of a loader, where no image has stopped it."""

    def __init__(self, loader: DataLoader[Any], note: Callable[[tuple[str, ...]], None]) -> None:
        self.loader = loader
        self.note = note

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels, problems in self.loader:
            if images is None:
                raise BadImageError(
                    f"cannot read {problems[-1]}; mend it, or go on without (--bad-images skip)"
                )
            self.note(problems)
            yield images, labels


def _collate(samples: list[Sample]) -> tuple[Tensor | None, Tensor | None, tuple[str, ...]]:
    unread = [sample for sample in samples if sample.image is None]
    if unread:
        return None, None, unread[0].problems
    images, labels = fast_collate([(sample.image, sample.label) for sample in samples])
    return images, labels, tuple(problem for sample in samples for problem in sample.problems)


def name_of(source: Any, number: int) -> str:
    """The file of an image, or its number where it has none."""
    if hasattr(source, "filename"):
        name = source.filename(number, absolute=True)
        return str(Path(name)) if name else f"image {number}"
    samples = getattr(source, "samples", None)
    return str(samples[number][0]) if samples else f"image {number}"
