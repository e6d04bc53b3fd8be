"""What everything here takes for an image: pixels in [0, 1], not yet normalised."""

from __future__ import annotations

import torch
from torch import Tensor


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
