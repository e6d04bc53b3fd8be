"""Changes of whole batches on the device: flips, shifts, erased rectangles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn
from torchvision.transforms import v2


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
            images = self._erased(images)
        return images

    def _erased(self, images: Tensor) -> Tensor:
        """Erases where timm does, among normalised images."""
        mean, std = (images.new_tensor(tuple(x)).view(1, -1, 1, 1) for x in (self.mean, self.std))
        erase = RandomErasing(self.erase, mode="pixel", device=images.device)
        erased: Tensor = erase((images - mean) / std)
        return (erased * std + mean).clamp(0, 1)


class AutoAugmented:
    """AutoAugment's ImageNet policy as a source of images for an auxiliary branch (fine-grained AdvProp)."""

    def __init__(self) -> None:
        self.policy = v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)

    @torch.no_grad()
    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Pixels `[B, C, H, W]` in [0, 1], each image changed on its own."""
        as_bytes = (images * 255).round().byte()
        return torch.stack([self.policy(image) for image in as_bytes]).to(images.dtype) / 255


def _shifted(images: Tensor, most: int) -> Tensor:
    count, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most))
    down, right = torch.randint(2 * most + 1, (2, count, 1), device=images.device)
    rows = (down + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (right + torch.arange(width, device=images.device))[:, None, None, :]
    batch = torch.arange(count, device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[batch, channels, rows, columns]
