"""Images and labels as batches of pixels in [0, 1]: the embedded digits, and sets that fit on the device.

The order of an epoch is a function of the seed and the epoch alone, so where a run is in its data is two
numbers: `Batches.epoch(epoch, start)` goes on from any step as if nothing had happened. The ranks of a
distributed run split the very batch that one rank would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from advprop.data.division import Division
from advprop.data.repeats import images_per_epoch, of_rank

Batch: TypeAlias = tuple[Tensor, Tensor]


class ImageSet(Protocol):
    """Labeled images that can be asked for by their numbers."""

    def __len__(self) -> int:
        """Number of images."""

    def to(self, device: torch.device | str) -> ImageSet:
        """The same set, with batches on a device."""

    def batches(self, numbers: Iterator[list[int]], epoch: int) -> Iterator[Batch]:
        """Pixels `[B, C, H, W]` in [0, 1] and labels `[B]` of each list of numbers, on the device.

        Repeated augmentation asks for `number + len(self)` where an image is to be changed anew.
        """


@dataclass(frozen=True)
class TensorSet:
    """Images that all fit on the device.

    Args:
        images: Pixels `[N, C, H, W]`: floats in [0, 1], or bytes.
        labels: Classes `[N]`.

    Raises:
        ValueError: If images and labels do not fit together.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                "images must be [N, C, H, W] with one label each, "
                f"got images {tuple(self.images.shape)} and labels {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> TensorSet:
        """The same set on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def batches(self, numbers: Iterator[list[int]], epoch: int = 0) -> Iterator[Batch]:
        """Pixels `[B, C, H, W]` in [0, 1] and labels `[B]` of each list of numbers, on the device."""
        for wanted in numbers:
            index = to_device(wanted, self.images.device) % len(self)
            images = self.images[index]
            yield images if images.is_floating_point() else images.float() / 255, self.labels[index]


@dataclass(frozen=True, kw_only=True)
class Images:
    """What the images of a data set are like when a model is tested on them; no images themselves.

    Args:
        class_names: The name of each class, by its label.
        shape: Channels, height and width of an image.
        crop_pct: Share of the resized image that the center crop takes; 1: all of it.
        crop_mode: How timm crops: `center`, `squash` or `border`.
        interpolation: How images are resized.
        exif_orientation: Whether photographs are turned as their cameras noted (EXIF).
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    crop_pct: float = 1.0
    crop_mode: str = "center"
    interpolation: str = "bilinear"
    exif_orientation: bool = False


@dataclass(frozen=True, kw_only=True)
class Data(Images):
    """A data set, split into images to train on and images to test on.

    Args:
        train: The training images.
        test: The test images.
        division: Which files of a folder without splits they are.
    """

    train: ImageSet
    test: ImageSet
    division: Division | None = None

    @property
    def images(self) -> Images:
        """What its images are like, for a model that is to be used without the data."""
        return Images(**{each.name: getattr(self, each.name) for each in fields(Images)})

    def to(self, device: torch.device | str) -> Data:
        """The same data, with batches on a device."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))


@dataclass(eq=False)
class Batches:
    """The batches of one rank, in a seeded order for training or in the set's own for testing.

    Args:
        images: The images.
        batch_size: Number of images of a batch over all ranks. A training epoch drops what is left over.
        seed: Seed of the order; None for the set's own order, with every image once.
        rank: Which share of each batch is this one's.
        ranks: Number of shares.
        repeats: Times that a training epoch has each of its images; see `images_per_epoch`.

    Raises:
        ValueError: If the batch cannot be split over the ranks, or is larger than the set.

    Examples:
        >>> from advprop.data import Batches, digits
        >>> batches = Batches(digits().train, batch_size=50, seed=0)
        >>> len(batches)
        4
        >>> images, labels = next(batches.epoch(0))
        >>> images.shape
        torch.Size([50, 1, 8, 8])
    """

    images: ImageSet
    batch_size: int
    seed: int | None = None
    rank: int = 0
    ranks: int = 1
    repeats: int = 0

    def __post_init__(self) -> None:
        size, ranks, most = self.batch_size, self.ranks, images_per_epoch(len(self.images), self.repeats)
        if size < 1 or size % ranks:
            raise ValueError(
                f"the batch size must be a multiple of the number of ranks, got {size} over {ranks}; "
                f"{max(1, round(size / ranks)) * ranks} would do"
            )
        if self.seed is not None and size > most:
            raise ValueError(f"a batch must have no more images than there are, got {size} for {most}")
        self.share: int = size // ranks

    def __len__(self) -> int:
        count = len(self.images)
        if self.seed is not None:
            return images_per_epoch(count, self.repeats) // self.batch_size
        return -(-len(range(self.rank, count, self.ranks)) // self.share)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on: pixels `[B, C, H, W]` in [0, 1], labels `[B]`."""
        return self.images.batches(self.numbers(epoch, start), epoch)

    def numbers(self, epoch: int, start: int = 0) -> Iterator[list[int]]:
        """The numbers of the images of each batch from step `start` on.

        In training a rank takes its part of each batch; in tests, and with repeats, the ranks take turns.
        """
        if self.seed is None:
            mine = np.arange(self.rank, len(self.images), self.ranks)
        else:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
            mine = of_rank(order, self.repeats, self.rank, self.ranks, self.share)
        for step in range(start, len(self)):
            yield mine[step * self.share : (step + 1) * self.share].tolist()

    def tested(self) -> list[int]:
        """The numbers of this rank's images in a test that is over, without those that could not be read."""
        lacking = getattr(self.images, "lacking", ())
        return [number for batch in self.numbers(0) for number in batch if number not in lacking]


def to_device(numbers: Sequence[float], device: torch.device) -> Tensor:
    """Numbers as a tensor on a device, without waiting for what that has still to do."""
    return torch.tensor(numbers, pin_memory=device.type == "cuda").to(device, non_blocking=True)


def digits(train_images: int = 200, seed: int = 0) -> Data:
    """Scikit-learn's 1797 handwritten digits: gray images of 8 x 8 pixels, 10 classes.

    Args:
        train_images: Number of training images, as many of each class; the others are test images.
        seed: Which images are the training images.

    Raises:
        ValueError: If that leaves a class without training or test images.

    Examples:
        >>> from advprop.data import digits
        >>> data = digits(train_images=200, seed=3)
        >>> len(data.train), len(data.test), data.shape
        (200, 1597, (1, 8, 8))
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = torch.from_numpy(loaded.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(loaded.target)
    train = _stratified(loaded.target, train_images, seed)
    test = np.setdiff1d(np.arange(len(labels)), train)
    return Data(
        train=TensorSet(images[train], labels[train]),
        test=TensorSet(images[test], labels[test]),
        class_names=tuple(str(name) for name in loaded.target_names),
        shape=(1, 8, 8),
    )


def _stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The numbers of `count` images, in order, as many of each class as possible."""
    random = np.random.default_rng(seed)
    classes = random.permutation(np.unique(labels))  # so that no class is favored when they do not divide
    shares = [count // len(classes) + (i < count % len(classes)) for i in range(len(classes))]
    of_class = [random.permutation(np.flatnonzero(labels == name)) for name in classes]
    most = len(classes) * (min(map(len, of_class)) - 1)
    if not len(classes) <= count <= most:
        raise ValueError(
            f"the number of training images must be from {len(classes)} to {most}, so that every class "
            f"has training and test images, got {count}"
        )
    return np.sort(np.concatenate([some[:share] for some, share in zip(of_class, shares, strict=True)]))
