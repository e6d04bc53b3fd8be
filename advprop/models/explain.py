"""Says in a line why a model could not be loaded: what its file is, or how its weights differ."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from timm.models import resolve_model_input_args
from torch import nn

from advprop.models.complete import WeightsError, difference
from advprop.models.weight_files import read_weights
from advprop.runtime import brief

# What readers say of a file that is cut off, is something else, or has the weights of another model.
FILE_ERRORS = (
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


def explain(error: BaseException, name: str, settings: Mapping[str, Any]) -> str:
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
        stated = read_weights(Path(config["file"])).architecture if config.get("state_dict") else None
    except ValueError as fault:
        return str(fault)
    if reason is None:
        return f"{type(error).__name__}: {brief(error)}"
    return f"{reason}; it says that it is {stated}" if stated and "it looks like" not in reason else reason


def _compared(name: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """How the weights that timm could not load differ from the model's; None if there is none to compare."""
    file = _file_of(config)
    state = config.get("state_dict") or (file and read_weights(file).tensors)
    model = blank_model(name, settings)
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


def blank_model(name: str, settings: Mapping[str, Any]) -> nn.Module | None:
    """The model without weights or memory for them; None if it cannot be made."""
    try:
        with torch.device("meta"):
            model: nn.Module = timm.create_model(name, **settings)
    except FILE_ERRORS:
        return None
    return model
