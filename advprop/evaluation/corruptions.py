"""The 15 common corruptions of Hendrycks and Dietterich (ICLR 2019), for images of any size.

Our own implementation: batched, on the images' device, gray or color, and seeded for each image. The
published parameters hold at 224 x 224. Elsewhere
- lengths in pixels (radii, reaches, displacements, blocks) grow and shrink with the shorter side, so that
  a picture is blurred by the same share of its side whatever its resolution. They stop shrinking at the
  scale of 32 x 32 images, because shorter ones would be less than a pixel and do nothing; where a pixel
  behind glass would move by less than one, only a share of the pixels moves;
- JPEG quantizes small pictures less coarsely, by the same scale: an 8 x 8 block of 32 x 32 pixels holds a
  far larger part of what is to see. At 32 x 32 this comes near to the parameters of CIFAR-10-C;
- strengths (noise, light, contrast, fog) and shares of the side (zoom, affine map) stay as published.

Results are not comparable to the last digit with those on the published ImageNet-C files, which hold other
random numbers, photographs of frost (ours is drawn, as strong and as fine), and a further JPEG compression.
"""

import operator
from collections.abc import Callable
from typing import Any, SupportsIndex

import torch
from torch import Tensor

from advprop.attacks import check_pixels
from advprop.evaluation import corruption_kinds as kinds
from advprop.evaluation.rng import Draws
from advprop.runtime import nearest

_PUBLISHED_SIDE = 224
_SMALLEST_SCALE = 32 / _PUBLISHED_SIDE

# By kind, which is a function of `corruption_kinds`: the numbers of its five severities, from
# hendrycks/robustness, make_imagenet_c.py.
_NUMBERS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "gaussian_noise": ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
    "shot_noise": ((60,), (25,), (12,), (5,), (3,)),
    "impulse_noise": ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "brightness": ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
    "contrast": ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
    "elastic_transform": (
        (488, 170.8, 24.4 / 224),
        (488, 19.52, 48.8 / 224),
        (12.2, 2.44, 4.88 / 224),
        (17.08, 2.44, 4.88 / 224),
        (29.28, 2.44, 4.88 / 224),
    ),
    "pixelate": ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
    "jpeg_compression": ((25,), (18,), (15,), (10,), (7,)),
}

CORRUPTIONS: tuple[str, ...] = tuple(_NUMBERS)
"""The names of the 15 kinds, in the order of the paper."""

SEVERITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
"""The severities of each kind. Stronger is not always harder: glass_blur and frost do not rise evenly."""


@torch.no_grad()
def corrupt(
    images: Tensor,
    kind: str,
    severity: int,
    *,
    seed: int = 0,
    first_index: int = 0,
    index_step: int = 1,
    check: bool = True,
) -> Tensor:
    """Corrupts images as Hendrycks and Dietterich (ICLR 2019, section 4.1) do.

    What happens to an image depends on the seed and on its number in the data set, `first_index +
    index_step * i` for image `i` of the batch, and on nothing else: not on the batch around it, not on the
    device (up to rounding), not on the caller's random state.

    Args:
        images: Pixels `[B, C, H, W]` in [0, 1], gray (C = 1) or color (C = 3), at least 8 x 8.
        kind: One of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: Any whole number.
        first_index: Number of the first image in its data set.
        index_step: Distance between the numbers of neighbors: the number of ranks, where ranks take turns.
        check: Whether to look for pixels outside [0, 1], for which the device has to wait.

    Returns:
        Pixels `[B, C, H, W]` in [0, 1] of the same dtype, on the same device.

    Raises:
        ValueError: If there is no such kind or severity, or the images are not as described.

    Examples:
        >>> import torch
        >>> from advprop import corrupt
        >>> images = torch.rand(2, 3, 32, 32)
        >>> foggy = corrupt(images, "fog", severity=3)
        >>> foggy.shape
        torch.Size([2, 3, 32, 32])
        >>> bool((foggy[1:] == corrupt(images[1:], "fog", severity=3, first_index=1)).all())
        True
    """
    apply, numbers = _find(kind, severity)
    _check_shape(images)
    if check:
        check_pixels(images)
    if not len(images):
        return images.clone()
    indices = first_index + index_step * torch.arange(len(images), device=images.device)
    draws = Draws(operator.index(seed), CORRUPTIONS.index(kind), indices)
    scale = max(min(images.shape[2:]) / _PUBLISHED_SIDE, _SMALLEST_SCALE)
    with torch.autocast(images.device.type, enabled=False):
        return apply(images.float().contiguous(), draws, scale, *numbers).clamp(0, 1).to(images.dtype)


def _find(kind: str, severity: int) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    if kind not in _NUMBERS:
        raise ValueError(f"there is no corruption {kind!r}; {nearest(kind, CORRUPTIONS)}")
    if not isinstance(severity, SupportsIndex) or severity not in SEVERITIES:
        raise ValueError(f"severity must be a whole number from 1 to 5, got {severity!r}")
    return getattr(kinds, kind), _NUMBERS[kind][severity - 1]


def _check_shape(images: Tensor) -> None:
    if not images.is_floating_point() or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            "images must be floats [B, C, H, W] with one channel or three, "
            f"got {images.dtype} {tuple(images.shape)}"
        )
    if min(images.shape[2:]) < 8:
        raise ValueError(f"images must be at least 8 x 8 pixels, got {tuple(images.shape[2:])}")
