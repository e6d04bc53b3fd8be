"""Images that are read from files as they are needed, by processes of their own.

The random changes of an image are seeded by the run's seed, the epoch, the image's number, and how often it
has come before in the epoch. So neither the number of these processes nor an interruption changes what an
epoch consists of.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from timm.data.loader import PrefetchLoader, fast_collate
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from advprop.data.batches import Batch, Images
from advprop.data.image_files import name_of, read_image, reading
from advprop.data.transforms import Transform
from advprop.data.worker_processes import batches_of, obey_only_the_trainer, processors
from advprop.recipes import DataSettings
from advprop.runtime import seed_cpu

logger: logging.Logger = logging.getLogger(__name__)

Problems: TypeAlias = tuple[str, ...]


class BadImageError(OSError):
    """An image cannot be read, or its label is none of the classes; the message names it."""


class Sample(NamedTuple):
    """An image as its transform leaves it, or None, with what could not be read in its place."""

    image: Any
    label: int
    problems: Problems = ()
    number: int = -1


@dataclass(frozen=True)
class Samples(Dataset[Sample]):
    """The images of a source by (epoch, number), read when they are asked for.

    Args:
        source: A reader of (file, label), alone or in timm's `ImageDataset`, or a set of (PIL image, label).
        transform: PIL image to bytes `[C, H, W]`.
        images: What the images are like.
        settings: Whether to stop at an image that cannot be read, or to skip it: in training for the next
            one, in testing for none, so that no image counts twice. And how many processes read.
        seed: Seed of the transform; None for testing, where it has nothing random.
        labels: The label of each class of the source; None: as the source has them.
    """

    source: Any
    transform: Transform
    images: Images
    settings: DataSettings
    seed: int | None = None
    labels: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, (repeat, number) = key[0], divmod(key[1], len(self))
        problems: Problems = ()
        for at in chain(range(number, len(self)), range(number)):
            try:
                return self._sample(epoch, at, repeat)._replace(problems=problems)
            except (OSError, ValueError) as error:
                problems += (f"{name_of(self.source, at)}: {error}",)
                if self.settings.bad_images == "stop" or self.seed is None:
                    break
        return Sample(None, -1, problems, number)

    def _sample(self, epoch: int, number: int, repeat: int) -> Sample:
        with reading():
            file, label, *_ = getattr(self.source, "reader", self.source)[number]
            with file:
                image = read_image(file, self.images.shape[0], self.images.exif_orientation)
        if not 0 <= label < (classes := len(self.labels or self.images.class_names)):
            raise ValueError(f"its label is {label}, and there are {classes} classes")
        label = self.labels[label] if self.labels else label
        if self.seed is not None:
            seed_cpu(self.seed, epoch, number, repeat)
        return Sample(self.transform(image), int(label))


class LoadedSet:
    """An image set whose images are read one by one, with batches on a device."""

    def __init__(self, samples: Samples, device: torch.device | str = "cpu") -> None:
        self.samples = samples
        self.device: torch.device = torch.device(device)
        self.skipped: set[str] = set()
        self.lacking: set[int] = set()  # numbers of the images that tests leave out
        self._wanted = _Wanted()

    def __len__(self) -> int:
        return len(self.samples)

    def to(self, device: torch.device | str) -> LoadedSet:
        """The same set, with batches on a device."""
        return LoadedSet(self.samples, device)

    def batches(self, numbers: Iterator[list[int]], epoch: int = 0) -> Iterator[Batch]:
        """Pixels `[B, C, H, W]` in [0, 1] and labels `[B]` of each list of numbers, on the device.

        Raises:
            BadImageError: If an image cannot be read, or its label is none of the classes.
        """
        self.lacking.clear()
        self._wanted.keys = ([(epoch, number) for number in wanted] for wanted in numbers)
        yield from self._loader

    @cached_property
    def _loader(self) -> PrefetchLoader:
        settings = self.samples.settings
        workers = min(settings.workers, processors())
        loader: DataLoader[Any] = DataLoader(
            self.samples,
            batch_sampler=self._wanted,
            collate_fn=_collate,
            num_workers=workers,
            worker_init_fn=obey_only_the_trainer,
            prefetch_factor=settings.prefetch_factor if workers else None,
            persistent_workers=settings.persistent_workers and workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        channels = self.samples.images.shape[0]
        return PrefetchLoader(
            cast(Any, _Checked(loader, self._check)),
            mean=(0.0,) * channels,  # pixels stay pixels: the task normalizes them
            std=(1.0,) * channels,
            channels=channels,
            device=self.device,
        )

    def _check(self, lacking: tuple[int, ...], problems: Problems) -> None:
        """Stops at an image that must not be missing; names those that were skipped, each once."""
        self.lacking.update(lacking)
        may_lack = self.samples.settings.bad_images == "skip" and self.samples.seed is None
        if lacking and not may_lack:
            raise BadImageError(f"cannot read {problems[0]}; mend it, or go on without (--bad-images skip)")
        for problem in problems:
            if problem not in self.skipped:
                self.skipped.add(problem)
                logger.warning("skipped %s (%d so far)", problem, len(self.skipped))


@dataclass
class _Wanted:
    """The (epoch, number) of each image of each batch that is wanted now."""

    keys: Iterator[list[tuple[int, int]]] = field(default_factory=lambda: iter(()))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return self.keys


@dataclass
class _Checked:
    """The batches of a loader, without those that have no image left."""

    loader: DataLoader[Any]
    check: Callable[[tuple[int, ...], Problems], None]

    def __iter__(self) -> Iterator[Batch]:
        for images, labels, lacking, problems in batches_of(self.loader):
            self.check(lacking, problems)
            if images is not None:
                yield images, labels


def _collate(samples: list[Sample]) -> tuple[Tensor | None, Tensor | None, tuple[int, ...], Problems]:
    """Images, labels, the numbers of those that are missing, and everything that could not be read."""
    problems = tuple(problem for sample in samples for problem in sample.problems)
    read = [(sample.image, sample.label) for sample in samples if sample.image is not None]
    images, labels = fast_collate(read) if read else (None, None)
    lacking = tuple(sample.number for sample in samples if sample.image is None)
    return images, labels, lacking, problems
