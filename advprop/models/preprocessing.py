"""What a model expects of its images, and the transform that gives it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from PIL.Image import Image
from timm.data.transforms_factory import create_transform as timm_create_transform
from timm.models import PretrainedCfg, resolve_model_input_args
from torch import Tensor, nn

from advprop.attacks import for_channels
from advprop.models.names import current_name


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
        config = getattr(model, "pretrained_cfg", None) or {"mean": (0.0,), "std": (1.0,)}
    config = asdict(PretrainedCfg()) | config
    channels = getattr(model, "in_chans", config["input_size"][0])
    found = {key: config[key] for key in ("interpolation", "crop_pct", "crop_mode")}
    found["input_size"] = (channels, *config["input_size"][1:])
    for key in ("mean", "std"):
        found[key] = for_channels(tuple(config[key]), channels)
    return found
