"""Changes of whole batches on the device: flips, shifts, AutoAugment, and erased rectangles."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn
from torchvision.transforms import v2

from advprop.attacks import PerChannel, for_channels
from advprop.data.batches import to_device


@dataclass(frozen=True)
class PixelErasing:
    """Random erasing of pixels in [0, 1].

    timm's `RandomErasing` fills rectangles of normalized images. Here it fills an empty canvas, and what it
    drew becomes pixels: multiplied by `std`, added to `mean`, and clipped to [0, 1]. Pixels that are not
    erased keep every bit, so images that were normalized by mistake are still refused.

    Args:
        erase: timm's `RandomErasing`, in any mode.
        mean: Mean of each channel that the model normalizes with, or one for all; averaged where the images
            have another number of channels.
        std: Standard deviation, likewise.

    Examples:
        >>> import torch
        >>> from timm.data.random_erasing import RandomErasing
        >>> from advprop.data import PixelErasing
        >>> erase = PixelErasing(RandomErasing(1.0, mode="pixel", device="cpu"), mean=0.5, std=0.25)
        >>> images = erase(torch.rand(4, 3, 32, 32))
        >>> bool(images.min() >= 0 and images.max() <= 1)
        True
    """

    erase: Callable[[Tensor], Tensor]
    mean: PerChannel
    std: PerChannel

    def __call__(self, images: Tensor) -> Tensor:
        """Pixels `[B, C, H, W]` or `[C, H, W]` in [0, 1] to such pixels."""
        drawn = self.erase(torch.full_like(images, math.nan))
        mean, std = (_of_channels(images, values) for values in (self.mean, self.std))
        return torch.where(drawn.isnan(), images, (drawn * std + mean).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Changes a batch at random, each image on its own.

    Args:
        flip: Probability of a horizontal flip.
        shift: Largest number of pixels that an image moves by, in both directions; what comes in is 0.
        erase: Probability that a rectangle is filled with noise.
        mean: Mean of each channel, that the noise has.
        std: Its standard deviation.
    """

    flip: float = 0.0
    shift: int = 0
    erase: float = 0.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __call__(self, images: Tensor) -> Tensor:
        """Pixels `[B, C, H, W]` in [0, 1] to such pixels."""
        if self.flip:
            flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < self.flip
            images = torch.where(flipped, images.flip(3), images)
        if self.shift:
            images = _shifted(images, self.shift)
        if self.erase:
            erase = RandomErasing(self.erase, mode="pixel", device=images.device)
            images = PixelErasing(erase, self.mean, self.std)(images)
        return images


class AutoAugmented:
    """AutoAugment's ImageNet policy as a source of images for an auxiliary branch (fine-grained AdvProp).

    Each image is changed on its own, as torchvision's `AutoAugment` does it. But the images of a batch that
    have drawn the same change get it together: on a GPU, starting a change costs more than the change.
    """

    def __init__(self) -> None:
        self.policy: Any = v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)
        self.drawn: list[tuple[str, float]] = []
        # From here on the policy notes its changes in `drawn` instead of making them.
        self.change: Any = self.policy._apply_image_or_video_transform
        self.policy._apply_image_or_video_transform = self._note

    @torch.no_grad()
    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Pixels `[B, C, H, W]` in [0, 1] to such pixels."""
        changed = (images * 255).round().byte()
        how = {"interpolation": self.policy.interpolation, "fill": self.policy._fill}
        drawn = [self._draw(*images.shape[2:]) for _ in images]
        for place in range(max(map(len, drawn), default=0)):
            alike = defaultdict(list)
            for number, changes in enumerate(drawn):
                if place < len(changes):
                    alike[changes[place]].append(number)
            for change, numbers in alike.items():
                index = to_device(numbers, images.device)
                changed[index] = self.change(changed[index], *change, **how)
        return changed.to(images.dtype) / 255

    def _draw(self, height: int, width: int) -> list[tuple[str, float]]:
        """The names and magnitudes of the changes to an image of this size, in their order."""
        self.drawn = []
        self.policy(torch.empty(1, height, width, dtype=torch.uint8, device="meta"))
        return self.drawn

    def _note(self, image: Tensor, name: str, magnitude: float, **how: Any) -> Tensor:
        self.drawn.append((name, magnitude))
        return image


def _shifted(images: Tensor, most: int) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # [B, C, down, right, H, W]
    down, right = torch.randint(2 * most + 1, (2, count), device=images.device)
    return windows[torch.arange(count, device=images.device), :, down, right]


def _of_channels(images: Tensor, values: PerChannel) -> Tensor:
    """A value for each channel `[C, 1, 1]`, filled in on the device: a copy would wait for it."""
    values = for_channels(values, images.shape[-3])
    single = values if isinstance(values, tuple | list) else (values,)
    return torch.stack([images.new_full((1, 1), value) for value in single])
