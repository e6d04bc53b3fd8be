"""Random erasing whose noise is pixels in [0, 1], where timm's is noise of normalized images."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from advprop.attacks import PerChannel, for_channels


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


def _of_channels(images: Tensor, values: PerChannel) -> Tensor:
    """A value for each channel `[C, 1, 1]`, filled in on the device: a copy would wait for it."""
    values = for_channels(values, images.shape[-3])
    single = values if isinstance(values, tuple | list) else (values,)
    return torch.stack([images.new_full((1, 1), value) for value in single])
