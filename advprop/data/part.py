"""A part of an image set, evenly spread over it: sets are often in the order of their classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from advprop.data.batches import Batch, Batches, ImageSet

_BATCH = 64


@dataclass(frozen=True)
class Part:
    """Some images of a set.

    Args:
        whole: The set.
        numbers: Which of its images.
    """

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
