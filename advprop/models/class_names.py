"""The names of a model's classes: those of its configuration, or of ImageNet."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from timm.data.dataset_info import CustomDatasetInfo, DatasetInfo
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import nn


def names_of_classes(model: nn.Module) -> Callable[[int], str]:
    """The name of a class by its label: as the model's configuration has it, or ImageNet, or its number."""
    info = _classes(model)
    return info.index_to_description if info else str


def labels_by_name(model: nn.Module) -> dict[str, int]:
    """The label of each class by the name that data give it, such as that of a folder; empty if not known."""
    info = _classes(model)
    return {info.index_to_label_name(label): label for label in info.label_indices()} if info else {}


def exif_orientation(model: nn.Module) -> bool:
    """Whether the model was trained on photographs that were turned as their cameras noted."""
    return bool((getattr(model, "pretrained_cfg", None) or {}).get("exif_orientation", False))


def check_configured(model: nn.Module) -> None:
    """Raises ValueError unless the model has a configuration, as timm's models do."""
    if not getattr(model, "pretrained_cfg", None):
        raise ValueError(
            f"the model must be one of timm's, with a pretrained_cfg, got {type(model).__name__}"
        )


def check_names(class_names: Sequence[str], count: int) -> None:
    """Raises ValueError unless there is a name for each class."""
    if isinstance(class_names, str) or len(class_names) != count:
        raise ValueError(f"class_names must be {count} names, one for each class, got {class_names!r:.60}")


def _classes(model: nn.Module) -> DatasetInfo | None:
    """What is known of the classes of a model."""
    config = getattr(model, "pretrained_cfg", None) or {}
    names = config.get("label_names")
    if names and len(names) == (getattr(model, "num_classes", None) or config.get("num_classes")):
        return CustomDatasetInfo(names, config.get("label_descriptions") or _of_wordnet(names))
    subset = infer_imagenet_subset(model)
    return ImageNetInfo(subset) if subset else None


def _of_wordnet(names: Sequence[str] | Mapping[Any, str]) -> dict[str, str] | None:
    """What WordNet's numbers stand for, if all names of the classes are such: the folders of ImageNet."""
    numbers = list(names.values() if isinstance(names, Mapping) else names)
    if not all(re.fullmatch(r"n\d{8}", name) for name in numbers):
        return None
    info = ImageNetInfo("imagenet-22k")
    known = set(info.label_names())
    return {name: info.label_name_to_description(name) if name in known else name for name in numbers}
