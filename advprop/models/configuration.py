"""What the configuration of a model says: how its images are prepared, and what its classes are called."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL.Image import Image
from timm.data import resolve_data_config
from timm.data.dataset_info import CustomDatasetInfo, DatasetInfo
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from timm.data.transforms_factory import create_transform as timm_create_transform
from timm.models import resolve_model_input_args
from torch import Tensor, nn

from advprop.attacks import for_channels
from advprop.models.names import current_name


def config_of(model: nn.Module) -> dict[str, Any]:
    """What timm says of a model and of the weights that it is to have; empty if it is none of timm's."""
    return getattr(model, "pretrained_cfg", None) or {}


def create_transform(
    model: nn.Module | str, is_training: bool = False, **kwargs: Any
) -> Callable[[Image], Tensor]:
    """The transform of a PIL image into the normalized tensor that a model was trained on.

    Size, crop, interpolation, mean and std come from the model's own configuration: AdvProp's ImageNet
    models want mean = std = 0.5, and the usual ImageNet statistics make them much worse.

    Args:
        model: A model, or the name of one (nothing is built or downloaded for it).
        is_training: Whether to make timm's random training transform.
        **kwargs: What `timm.data.create_transform` takes, instead of the model's own.

    Examples:
        >>> from PIL import Image
        >>> from advprop import create_transform
        >>> transform = create_transform("tf_efficientnet_b0_ap")
        >>> transform(Image.new("RGB", (300, 200))).shape
        torch.Size([3, 224, 224])
    """
    settings = data_config(model) | {"is_training": is_training} | kwargs
    transform: Callable[[Image], Tensor] = timm_create_transform(**settings)
    return transform


def data_config(model: nn.Module | str) -> dict[str, Any]:
    """What a model wants of its images, as timm's loaders take it.

    Returns:
        `input_size` (C, H, W), `mean` and `std` (one number a channel), `interpolation`, `crop_pct` and
        `crop_mode`.
    """
    if isinstance(model, str):
        config = resolve_model_input_args(current_name(model))["pretrained_cfg"]
    else:
        config = config_of(model) or {"mean": (0.0,), "std": (1.0,)}
    found: dict[str, Any] = resolve_data_config(pretrained_cfg=config)
    channels = getattr(model, "in_chans", found["input_size"][0])
    found["input_size"] = (channels, *found["input_size"][1:])
    for key in ("mean", "std"):
        found[key] = for_channels(tuple(found[key]), channels)
    return found


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
    return bool(config_of(model).get("exif_orientation"))


def check_configured(model: nn.Module) -> None:
    """Raises ValueError unless the model has a configuration, as timm's models do."""
    if not config_of(model):
        raise ValueError(
            f"the model must be one of timm's, with a pretrained_cfg, got {type(model).__name__}"
        )


def check_names(class_names: Sequence[str], count: int) -> None:
    """Raises ValueError unless there is a name for each class."""
    if isinstance(class_names, str) or len(class_names) != count:
        raise ValueError(f"class_names must be {count} names, one for each class, got {class_names!r:.60}")


def _classes(model: nn.Module) -> DatasetInfo | None:
    """What is known of the classes of a model."""
    config = config_of(model)
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
