"""A look into a set: at single images, at a part spread evenly, as classes are often in order, and at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advprop.data.batches import Batch, Batches, ImageSet, TensorSet
from advprop.data.class_map import labels_of
from advprop.data.image_files import name_of
from advprop.data.loaded_set import LoadedSet

_BATCH = 64


@dataclass(frozen=True)
class Part:
    """Some images of a set, by their numbers in the whole."""

    whole: ImageSet
    numbers: Sequence[int]

    @classmethod
    def of(cls, whole: ImageSet, most: int) -> Part:
        """So many images of a set, evenly spread over it; all, if there are no more.

        Examples:
            >>> from advprop.data import Part, digits
            >>> Part.of(digits().train, 5).numbers
            (0, 40, 80, 120, 160)
        """
        count = min(most, len(whole))
        return cls(whole, tuple(number * len(whole) // count for number in range(count)))

    def __len__(self) -> int:
        return len(self.numbers)

    def to(self, device: torch.device | str) -> Part:
        """The same part, with batches on a device."""
        return replace(self, whole=self.whole.to(device))

    def batches(self, numbers: Iterator[list[int]], epoch: int = 0) -> Iterator[Batch]:
        """Pixels `[B, C, H, W]` in [0, 1] and labels `[B]` of each list of numbers, on the device."""
        return self.whole.batches(([self.numbers[each] for each in wanted] for wanted in numbers), epoch)


def some_images(images: ImageSet, most: int) -> Tensor:
    """So many images of a set, evenly spread over it: pixels `[N, C, H, W]` in [0, 1], on the CPU."""
    return torch.cat([batch.cpu() for batch, _ in Batches(Part.of(images, most), _BATCH)])


def name_in(images: ImageSet, number: int) -> str:
    """The file of an image, or its number where it has none.

    Examples:
        >>> from advprop.data import digits, name_in
        >>> name_in(digits().test, 7)
        'image 7'
    """
    source = images.samples.source if isinstance(images, LoadedSet) else images
    return name_of(source, number)


def pixels_in(images: ImageSet, numbers: Sequence[int]) -> Tensor:
    """Pixels `[N, C, H, W]` in [0, 1] of some images, on the CPU, as a model sees them in a test.

    They are read by this process: a set that lends its images to processes of its own starts none.

    Raises:
        OSError: If an image cannot be read.
    """
    if isinstance(images, TensorSet):
        [(pixels, _)] = images.batches(iter([list(numbers)]))
        return pixels.cpu()
    if not isinstance(images, LoadedSet):
        raise ValueError(f"images must be a TensorSet or a LoadedSet, got {type(images).__name__}")
    samples = [images.samples[0, number] for number in numbers]
    for sample in samples:
        if sample.image is None:
            raise OSError(f"cannot read {sample.problems[0]}")
    return torch.stack([torch.as_tensor(sample.image) for sample in samples]).float() / 255


def fingerprint(images: ImageSet) -> str:
    """A digest of the labels and the names of images, or of their pixels where those are in memory.

    Names are those in the folder of the data, so that the fingerprint is the same wherever that is.
    """
    digest = hashlib.sha256(str(len(images)).encode())
    if isinstance(images, TensorSet):
        for each in (images.images, images.labels):
            digest.update(each.cpu().flatten().numpy().data)
    elif isinstance(images, LoadedSet):
        source: Any = images.samples.source
        names = getattr(getattr(source, "reader", source), "names", None)
        if isinstance(names, np.ndarray):
            digest.update(b"".join(names.tolist()))
            digest.update(np.cumsum([0, *map(len, names.tolist())], dtype="<i8").data)
        labels = labels_of(source)
        if labels is not None:
            digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()
