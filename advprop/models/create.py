"""Models by name: timm's own, by their old and their current names, and the small ConvNet of this package."""

import difflib
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError
from PIL.Image import Image
from safetensors import SafetensorError
from timm.data.transforms_factory import create_transform as timm_create_transform
from timm.models import (
    PretrainedCfg,
    get_arch_pretrained_cfgs,
    get_deprecated_models,
    is_model,
    load_state_dict,
    parse_model_name,
    resolve_model_input_args,
)
from torch import Tensor, nn

from advprop.attacks import for_channels

# Whatever HTTP library the hub's client uses, its errors are among these.
_DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)
# What readers say of a file that is cut off, is something else, or holds the weights of another model.
_FILE_ERRORS = (
    SafetensorError,
    pickle.UnpicklingError,
    json.JSONDecodeError,
    EOFError,
    KeyError,
    RuntimeError,
)


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A timm model, by its current or its old name.

    `tf_efficientnet_b0_ap` is `tf_efficientnet_b0.ap_in1k` now; both work, without a warning. Everything
    else goes to `timm.create_model`: tags, `hf-hub:` and `local-dir:` names, all keyword arguments.

    Args:
        name: Name of a model, old or current.
        pretrained: Whether to load the weights that the name stands for, from timm's model hub.
        **kwargs: What `timm.create_model` takes, such as `num_classes` and `in_chans`.

    Raises:
        ValueError: If there is no such model or tag (the message has the nearest names), or it has no
            pretrained weights.
        OSError: If the weights could not be downloaded, or their file is damaged or of another model.

    Examples:
        >>> from advprop import create_model
        >>> model = create_model("tf_efficientnet_b0_ap", num_classes=10)
        >>> model.pretrained_cfg["mean"]
        (0.5, 0.5, 0.5)
    """
    name = current_name(name)
    configured = parse_model_name(name)[0] is not None  # hf-hub: and local-dir: bring a file of settings
    own_weights = configured or "pretrained_cfg_overlay" in kwargs or kwargs.get("pretrained_cfg")
    if pretrained and not own_weights and not timm.is_model_pretrained(name):
        known = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")) or "none"
        raise ValueError(f"{name} has no pretrained weights; of this architecture these have: {known}")
    try:
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    except _FILE_ERRORS as error:
        if not configured and not (pretrained and _can_be_made(name, kwargs)):
            raise  # it is not about what was read
        raise OSError(
            f"the weights of {name} are damaged or of another model ({_told(error)}); if they come from the "
            f"hub, delete the file from its cache ({HF_HUB_CACHE}) and load again"
        ) from error
    except _DOWNLOAD_ERRORS as error:
        reason = _told(error.__cause__ or error)
        raise OSError(f"the weights of {name} could not be loaded: {reason}") from error


def _can_be_made(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the model can be made without its weights."""
    try:
        with torch.device("meta"):
            timm.create_model(name, **settings)
    except _FILE_ERRORS:
        return False
    return True


def _told(error: BaseException) -> str:
    """What an error says, on one line; its name, where it says nothing that could be read by itself."""
    said = " ".join(str(error).split())[:300]
    return said if said and not isinstance(error, KeyError) else f"{type(error).__name__} {said}".rstrip()


def weights_from(path: Path | str, name: str) -> dict[str, Any]:
    """What `timm.create_model` needs to start from a checkpoint file: its `pretrained_cfg_overlay`.

    Args:
        path: A checkpoint of a run, or one in a format of timm's: safetensors, or a state dict of torch. Of a
            run's, the moving average of the weights is taken where it has one, and the main batch norms.
        name: The model that the checkpoint is of; its classes and channels may differ.

    Raises:
        ValueError: If there is no such file, or it holds no weights of this model.
    """
    try:
        state = _weights_in(Path(path))
    except FileNotFoundError as error:
        raise ValueError(f"there are no weights {path}") from error
    except (OSError, *_FILE_ERRORS) as error:
        raise ValueError(f"cannot read the weights {path}: {_told(error)}") from error
    config = resolve_model_input_args(current_name(name))["pretrained_cfg"]
    overlay: dict[str, Any] = {"state_dict": state}
    found = 0
    for key, layer, at in (("classifier", "num_classes", 0), ("first_conv", "input_size", 1)):
        layers = config.get(key) or ()
        first = layers if isinstance(layers, str) else next(iter(layers), "")
        weight = state.get(f"{first}.weight")
        if weight is not None:
            found += 1
            count = weight.shape[at]
            overlay[layer] = count if layer == "num_classes" else (count, *config["input_size"][1:])
    if not found:
        raise ValueError(f"{path} holds no weights of {name}")
    return overlay


def _weights_in(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = {}
    if path.suffix == ".pt":
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not {"model", "ema"} <= state.keys():
        return load_state_dict(str(path))
    weights = state["ema"] or state["model"]
    wrapped = {name.partition(".aux.")[0] for name in weights if ".aux." in name}
    plain = {}
    for name, value in weights.items():
        layer, inside, rest = name.partition(".main.")
        if ".aux." not in name:
            plain[f"{layer}.{rest}" if inside and layer in wrapped else name] = value
    return plain


def current_name(name: str) -> str:
    """The name that timm knows a model by today.

    Raises:
        ValueError: If timm has no such model or tag, or no longer has it.

    Examples:
        >>> from advprop.models import current_name
        >>> current_name("tf_efficientnet_b0_ap")
        'tf_efficientnet_b0.ap_in1k'
    """
    if parse_model_name(name)[0] is not None:  # hf-hub: and local-dir: are not in the registry
        return name
    renamed = get_deprecated_models()
    if name in renamed:
        if not renamed[name]:
            raise ValueError(f"timm no longer has the model {name!r}, and nothing in its place")
        return str(renamed[name])
    if is_model(name):  # the architecture is there; what of the tag?
        tagged = get_arch_pretrained_cfgs(name)
        if "." not in name or name in tagged:
            return name
        raise ValueError(f"there is no model {name!r}; of this architecture there are {', '.join(tagged)}")
    near = difflib.get_close_matches(name, [*timm.list_models(), *renamed], n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "advprop.list_models() has them all"
    raise ValueError(f"there is no model {name!r}; {hint}")


def list_models(
    filter: str | Iterable[str] | None = "",
    pretrained: bool = False,
    exclude_filters: str | Iterable[str] = "",
) -> list[str]:
    """Names of timm's models with their tags, and of this package's own, in natural order.

    Args:
        filter: A pattern such as `"*efficientnet*ap*"`, or several, of current names or of old ones; all by
            default.
        pretrained: Only those that have pretrained weights.
        exclude_filters: Patterns of models to leave out.

    Examples:
        >>> from advprop import list_models
        >>> list_models("tf_efficientnet_b0.ap*") == list_models("tf_efficientnet_b0_ap")
        True
    """
    found = _matching(filter) - (_matching(exclude_filters) if exclude_filters else set())
    return [name for name in timm.list_models(pretrained=pretrained, include_tags=True) if name in found]


def _matching(patterns: str | Iterable[str] | None) -> set[str]:
    """The current names that match one of the patterns, or whose old names do; all without a pattern."""
    listed = [patterns] if isinstance(patterns, str) else list(patterns or ())
    renamed = get_deprecated_models().items()
    found = {new for old, new in renamed if new and any(fnmatch(old, pattern) for pattern in listed)}
    return found.union(timm.list_models(listed if any(listed) else "", include_tags=True))


def create_transform(
    model: nn.Module | str, is_training: bool = False, **kwargs: Any
) -> Callable[[Image], Tensor]:
    """The transform of a PIL image into the normalised tensor that a model was trained on.

    Size, crop, interpolation, mean and std come from the model's own configuration: AdvProp's ImageNet
    models want mean = std = 0.5, and the usual ImageNet statistics make them much worse.

    Args:
        model: A model, or the name of one (nothing is built or downloaded for it).
        is_training: Whether to make timm's random training transform.
        **kwargs: What `timm.data.create_transform` takes, in the place of the model's own.

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
