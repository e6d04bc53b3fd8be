"""Small sets of images that stay on the device as one array: torchvision's, and the digits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from advprop.data.batches import Data, TensorSet, digits
from advprop.data.class_map import labels_of
from advprop.recipes import AugmentSettings, DataSettings

_LARGEST = 2 * 2**30  # bytes
_GRAY = (0.299, 0.587, 0.114)
# How an image is read and changed on its own; arrays go to the model as they are.
_OF_SINGLE_IMAGES = ("scale", "color_jitter", "auto_augment", "crop_pct", "interpolation", "exif_orientation")


def changes_of_single_images(augment: AugmentSettings) -> dict[str, Any]:
    """The settings that read or change an image on its own, which an array does not allow."""
    return {name: value for name in _OF_SINGLE_IMAGES if (value := getattr(augment, name))}


def fits_in_memory(source: Any, channels: int | None, size: int | None) -> bool:
    """Whether a set is an array that is small enough in these channels and this size."""
    data = getattr(source, "data", None)
    if not isinstance(data, Tensor | np.ndarray):
        return False
    count, height, width, *rest = data.shape
    values = count * (channels or (rest[0] if rest else 1)) * (size or height) * (size or width)
    return 0 < values <= _LARGEST


def to_tensors(
    source: Any, channels: int | None, size: int | None, labels: Sequence[int] | None = None
) -> TensorSet:
    """The images of a torchvision set as bytes `[N, C, H, W]`, in these channels and this size.

    Args:
        source: The set.
        channels: 1 or 3; None: as they are.
        size: Height and width; None: as they are.
        labels: The label of each class of the set; None: as the set has them.
    """
    images = torch.as_tensor(source.data)
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    targets = torch.as_tensor(labels_of(source))
    targets = targets if labels is None else torch.tensor(labels)[targets]
    return TensorSet(_fitted(images, channels, size).contiguous(), targets)


def in_memory(train: TensorSet, test: TensorSet, class_names: tuple[str, ...]) -> Data:
    """Data whose images stay on the device."""
    _, channels, height, width = train.images.shape
    return Data(train=train, test=test, class_names=class_names, shape=(channels, height, width))


def fitted_digits(data: DataSettings, augment: AugmentSettings, seed: int) -> Data:
    """The digits, in the channels and the size of the settings.

    Raises:
        ValueError: If a setting cannot act on them.
    """
    given = changes_of_single_images(augment)
    if data.classes not in (None, 10):
        given["classes"] = data.classes
    if given:
        raise ValueError(
            "the digits have 10 classes, and stay on the device as they are; they cannot have "
            f"{', '.join(f'{name}: {value}' for name, value in given.items())}; "
            "leave that out, or train on a folder of images"
        )
    found = digits(data.train_images, seed)
    train, test = (
        TensorSet(_fitted(each.images, data.channels, data.image_size), each.labels)
        for each in (found.train, found.test)
        if isinstance(each, TensorSet)  # both are
    )
    return in_memory(train, test, found.class_names)


def _fitted(images: Tensor, channels: int | None, size: int | None) -> Tensor:
    """Images `[N, C, H, W]` in these channels and this size, of the same type."""
    if channels in (None, images.shape[1]) and size in (None, images.shape[2]):
        return images
    return torch.cat([_fit(part, channels, size) for part in images.split(1000)])


def _fit(images: Tensor, channels: int | None, size: int | None) -> Tensor:
    fitted = images.float()
    if channels == 1 and images.shape[1] == 3:
        fitted = (fitted * torch.tensor(_GRAY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif channels == 3 and images.shape[1] == 1:
        fitted = fitted.expand(-1, 3, -1, -1)
    if size not in (None, images.shape[2]):
        fitted = F.interpolate(fitted, (size, size), mode="bilinear", antialias=True)
    return fitted if images.is_floating_point() else fitted.round().clamp(0, 255).byte()
