"""What everything here takes for an image: pixels in [0, 1], not yet normalised."""

import math

import torch
from torch import Tensor

from advprop.attacks.ball import PerChannel, is_number, radii

_CAUSES = (
    "the cause may be normalization by a transform, by timm's loader or its prefetcher, also before mixup "
    "(use advprop.data.create_loader, or mean 0 and std 1; PixelModel and the tasks normalize), "
    "values of 0..255 (divide by 255), random erasing with noise (use advprop.data.create_loader), "
    "or a bicubic resize of tensors (clamp)"
)


def check_pixels(images: Tensor) -> None:
    """Refuses images that are not pixels in [0, 1], such as normalized ones; makes the device wait.

    Raises:
        ValueError: If a value is outside [0, 1] or NaN; names what may have caused it.
    """
    low, high = torch.stack(images.detach().aminmax()).tolist() if images.numel() else (0.0, 1.0)
    if math.isnan(low):
        raise ValueError("images must be pixels in [0, 1], got NaN; look for the transform that makes it")
    if low < 0 or high > 1:
        raise ValueError(
            f"images must be pixels in [0, 1], got values from {low:.4g} to {high:.4g}; {_CAUSES}"
        )


def for_channels(values: PerChannel, channels: int | None) -> PerChannel:
    """Mean or std of a colour configuration for a model of so many channels: their average, if they differ.

    Args:
        values: One number, or one for each channel of the configuration.
        channels: Of the model; None where it is not known.
    """
    if is_number(values) or channels in (None, len(own := radii(values))):
        return values
    return (sum(own) / len(own),) * channels
