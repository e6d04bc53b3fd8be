"""The norm ball around an image: a random point in it, the steepest way up, the way back in."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias

import torch
from torch import Tensor

NormName: TypeAlias = Literal["linf", "l2"]
PerChannel: TypeAlias = float | Sequence[float]


@dataclass(frozen=True)
class Ball:
    """All images within `eps` of an image, for a whole batch `[B, C, H, W]` at once.

    Args:
        eps: Radius in pixels of [0, 1]; one number, or one for each channel (`"linf"` only).
        norm: `"linf"`, the largest change of a pixel, or `"l2"`, the Euclidean length of the change.

    Raises:
        ValueError: If eps is negative, not finite, or over 1 where no pixel can change by more than 1.
    """

    eps: PerChannel
    norm: NormName = "linf"

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise ValueError(f"norm must be 'linf' or 'l2', got {self.norm!r}")
        values = radii(self.eps)
        if self.norm == "l2" and not is_number(self.eps):
            raise ValueError(f"eps for each channel needs norm='linf', got {self.eps!r} with norm='l2'")
        for eps in values:
            if not math.isfinite(eps) or eps < 0:
                raise ValueError(f"eps must be 0 or more, got {self.eps!r}")
            if self.norm == "linf" and eps > 1:
                raise ValueError(f"eps is measured in pixels of [0, 1], got {self.eps!r}; write {eps:g}/255")

    def random_point(
        self, images: Tensor, radius: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """A uniformly random point of the ball around each image `[B, C, H, W]`; may leave [0, 1]."""
        images = images.to(wide_dtype(images))
        if self.norm == "linf":
            noise = uniform(images.shape, images, generator) * 2 - 1
            return images + noise.to(images.dtype) * radius
        device = images.device if generator is None else generator.device
        noise = torch.randn(images.shape, generator=generator, device=device).to(images.device)
        length = uniform(images.shape[:1], images, generator) ** (1 / max(1, images.shape[1:].numel()))
        noise = _unit(noise) * _spread(length, images) * radius
        return _moved(images, noise.to(images.dtype))

    def ascent(self, gradient: Tensor) -> Tensor:
        """The step of length 1 that climbs fastest along a gradient; NaN where that is not finite."""
        if self.norm == "linf":
            return gradient.sign().add_(gradient, alpha=0)
        return _unit(gradient)

    def project(self, images: Tensor, center: Tensor, radius: Tensor) -> Tensor:
        """The point of the ball around `center` that is nearest to each image."""
        center = center.to(images.dtype)
        change = images - center
        if self.norm == "linf":
            return change.clamp_(-radius, radius).add_(center)
        length = _length(change)
        return _moved(center, (change * (radius / length.clamp(min=1e-12)).clamp(max=1)).to(images.dtype))

    def radius(self, images: Tensor) -> Tensor:
        """The radius as the other methods take it, `[1, C, 1, 1]`, where the images are; fp32 or wider.

        Raises:
            ValueError: If there are neither one eps (C is 1 then) nor as many as channels.
        """
        listed = radii(self.eps)
        if len(listed) not in (1, channels := images.shape[1]):
            raise ValueError(f"images with {channels} channels need as many values or one, got {self.eps!r}")
        # A copy from the CPU would make a GPU wait.
        filled = [images.new_full((1,), value, dtype=wide_dtype(images)) for value in listed]
        return torch.cat(filled).view(1, -1, *(1 for _ in images.shape[2:]))


def uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers of [0, 1) on the device of `like`, drawn where the generator lives."""
    device = like.device if generator is None else generator.device
    return torch.rand(tuple(shape), generator=generator, device=device).to(like.device)


def radii(values: object) -> tuple[float, ...]:
    """One number, or one for each channel, as a tuple.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(values, Real):
        return (float(values),)
    try:
        found = tuple(map(float, values)) if isinstance(values, Iterable) else ()
    except (TypeError, ValueError):  # a tensor without dimensions, or something of which not all are numbers
        found = ()
    if not found:
        raise ValueError(f"eps must be a number, or one for each channel, got {values!r}")
    return found


def is_number(value: object) -> bool:
    """Whether it is one real number, of Python or of NumPy."""
    return isinstance(value, Real)


def wide_dtype(images: Tensor) -> torch.dtype:
    """The dtype in which attacks reckon: that of the images, fp32 for those in half precision."""
    return torch.promote_types(images.dtype, torch.float32)


def rounded(images: Tensor, center: Tensor) -> Tensor:
    """Images in the dtype of the center, each value rounded towards it: what was in a ball stays there.

    Args:
        images: Pixels in [0, 1], in the dtype of the center or a wider one.
        center: Pixels in [0, 1].
    """
    if images.dtype == center.dtype:
        return images
    near = images.to(center.dtype)
    beyond = (near - center.to(images.dtype)).abs() > (images - center).abs()
    # Numbers of 16 bits, over 0, are in the order of their bits; torch has no nextafter for fp16 on GPUs.
    inward = torch.where(images > center, -1, 1) * beyond
    return (near.view(torch.int16) + inward.to(torch.int16)).view(center.dtype)


def _moved(center: Tensor, change: Tensor) -> Tensor:
    """The center and a change, where rounding of the sum makes no change longer."""
    moved = center + change
    inward = torch.nextafter(moved, center)
    return torch.where((moved - center).abs() > change.abs(), inward, moved)


def _spread(per_image: Tensor, images: Tensor) -> Tensor:
    return per_image.view(-1, *(1 for _ in images.shape[1:]))


def _length(images: Tensor) -> Tensor:
    """The Euclidean length of each image, in fp32 or wider: fp16 cannot hold the floor under it."""
    length = torch.linalg.vector_norm(images.flatten(1), dim=1, dtype=sum_dtype(images))
    return _spread(length.to(wide_dtype(images)), images)


def sum_dtype(images: Tensor) -> torch.dtype:
    """The dtype of sums over an image: fp64 where the device has it, since many equal values in fp32 are off.

    (By 1e-4 of the length; MPS has no fp64.)
    """
    return wide_dtype(images) if images.device.type == "mps" else torch.float64


def _unit(images: Tensor) -> Tensor:
    return (images / _length(images).clamp(min=1e-12)).to(images.dtype)
