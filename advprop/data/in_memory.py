"""Small sets of images that stay on the device as one array: torchvision's, and the digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from advprop.data.batches import Data, TensorSet, digits
from advprop.data.class_map import labels_of
from advprop.recipes import Recipe

_LARGEST = 2 * 2**30  # bytes
_GREY = (0.299, 0.587, 0.114)
# How an image is read and changed on its own; arrays go to the model as they are.
_OF_SINGLE_IMAGES = ("scale", "color_jitter", "auto_augment", "crop_pct", "interpolation")


def can_stay(sources: Sequence[Any], channels: int | None, size: int | None) -> bool:
    """Whether sets are arrays that are small enough in these channels and this size."""
    return all(0 < _bytes(source, channels, size) <= _LARGEST for source in sources)


def changed_alone(recipe: Recipe) -> list[str]:
    """The settings of a recipe that read or change an image on its own, which an array does not allow."""
    return [name for name in _OF_SINGLE_IMAGES if getattr(recipe, name)]


def resident(recipe: Recipe, train: Any, test: Any, names: Sequence[str]) -> Data:
    """Data of torchvision sets that can stay on the device.

    Raises:
        ValueError: If a label is none of the classes.
    """
    sets = [to_tensors(source, recipe.channels, recipe.image_size, len(names)) for source in (train, test)]
    _, channels, height, width = sets[0].images.shape
    return Data(train=sets[0], test=sets[1], class_names=tuple(names), shape=(channels, height, width))


def resident_digits(recipe: Recipe) -> Data:
    """The digits, in the channels and the size of a recipe.

    Raises:
        ValueError: If a setting cannot act on them.
    """
    given = changed_alone(recipe) + ["classes"] * (recipe.classes not in (None, 10))
    if given:
        told = ", ".join(f"{name}: {getattr(recipe, name)}" for name in given)
        raise ValueError(
            f"the digits have 10 classes, and stay on the device as they are; they cannot have {told}; "
            "leave that out, or train on a folder of pictures"
        )
    data = digits(recipe.train_images, recipe.seed)
    sets = [
        TensorSet(_fitted(some.images, recipe.channels, recipe.image_size), some.labels)
        for some in (data.train, data.test)
        if isinstance(some, TensorSet)
    ]
    _, channels, height, width = sets[0].images.shape
    shape = (channels, height, width)
    return Data(train=sets[0], test=sets[1], class_names=data.class_names, shape=shape)


def to_tensors(source: Any, channels: int | None, size: int | None, classes: int) -> TensorSet:
    """The images of a torchvision set as bytes `[N, C, H, W]`.

    Raises:
        ValueError: If a label is none of the classes.
    """
    images = torch.as_tensor(source.data)
    labels = torch.as_tensor(labels_of(source))
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must be from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )
    return TensorSet(_fitted(images, channels, size).contiguous(), labels)


def _bytes(source: Any, channels: int | None, size: int | None) -> int:
    """Bytes of a set as an array of these channels and this size; 0 if it is none."""
    data = getattr(source, "data", None)
    if not isinstance(data, Tensor | np.ndarray):
        return 0
    count, height, width, *rest = data.shape
    return int(count) * (channels or (rest[0] if rest else 1)) * (size or height) * (size or width)


def _fitted(images: Tensor, channels: int | None, size: int | None) -> Tensor:
    """Images `[N, C, H, W]` in these channels and this size, of the same type."""
    if channels in (None, images.shape[1]) and size in (None, images.shape[2]):
        return images
    return torch.cat([_fit(part, channels, size) for part in images.split(1000)])


def _fit(images: Tensor, channels: int | None, size: int | None) -> Tensor:
    fitted = images.float()
    if channels == 1 and images.shape[1] == 3:
        fitted = (fitted * torch.tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif channels == 3 and images.shape[1] == 1:
        fitted = fitted.expand(-1, 3, -1, -1)
    if size not in (None, images.shape[2]):
        fitted = F.interpolate(fitted, (size, size), mode="bilinear", antialias=True)
    return fitted if images.is_floating_point() else fitted.round().clamp(0, 255).byte()
