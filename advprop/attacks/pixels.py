"""What everything here takes for an image: pixels in [0, 1], not yet normalised."""

import torch
from torch import Tensor

from advprop.attacks.ball import PerChannel, is_number, radii


def check_pixels(images: Tensor) -> None:
    """Refuses images that are not pixels in [0, 1], such as normalised ones; makes the device wait.

    Raises:
        ValueError: If a value is outside [0, 1] or no number.
    """
    low, high = torch.stack(images.detach().aminmax()).tolist() if images.numel() else (0.0, 1.0)
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"images must be pixels in [0, 1], got values from {low:.4g} to {high:.4g}; "
            "leave the normalisation to the model: PixelModel(model, mean, std)"
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
