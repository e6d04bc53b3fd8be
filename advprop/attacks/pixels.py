"""What everything here takes for an image: pixels in [0, 1], not yet normalized."""

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


def check_batch(images: Tensor, labels: Tensor, targets: Tensor | None) -> None:
    """Refuses images, labels and targets that do not fit together.

    Raises:
        ValueError: If they do not.
    """
    if not images.is_floating_point() or images.ndim < 2:
        raise ValueError(f"images must be [B, C, H, W] of floats, got {images.dtype} {tuple(images.shape)}")
    if (
        labels.ndim not in (1, 2)
        or len(labels) != len(images)
        or labels.is_floating_point() != (labels.ndim == 2)
    ):
        raise ValueError(
            f"{len(images)} images need classes [B] (whole numbers) or weights [B, classes] (floats), "
            f"got labels of {labels.dtype} {tuple(labels.shape)}"
        )
    if targets is not None and (targets.shape != (len(images),) or targets.is_floating_point()):
        raise ValueError(
            f"targets must be {len(images)} classes [B], got {targets.dtype} {tuple(targets.shape)}"
        )


def for_channels(values: PerChannel, channels: int | None) -> PerChannel:
    """Mean or std of a color configuration for a model of so many channels: their average, if they differ.

    Args:
        values: One number, or one for each channel of the configuration.
        channels: Of the model; None where it is not known.
    """
    if is_number(values) or channels in (None, len(own := radii(values))):
        return values
    return (sum(own) / len(own),) * channels
