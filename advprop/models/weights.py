"""Weights from a file: a checkpoint of a run, or a file of timm's or torch's."""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import load_state_dict, resolve_model_input_args
from torch import Tensor

from advprop.models.names import current_name

# What readers say of a file that is cut off, is something else, or holds the weights of another model.
FILE_ERRORS = (
    SafetensorError,
    pickle.UnpicklingError,
    json.JSONDecodeError,
    EOFError,
    KeyError,
    RuntimeError,
)


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
    except (OSError, *FILE_ERRORS) as error:
        raise ValueError(f"cannot read the weights {path}: {brief(error)}") from error
    config = resolve_model_input_args(current_name(name))["pretrained_cfg"]
    classifier, first_conv = (_weight(state, config.get(key)) for key in ("classifier", "first_conv"))
    if classifier is None and first_conv is None:
        raise ValueError(f"{path} holds no weights of {name}")
    overlay: dict[str, Any] = {"state_dict": state}
    if classifier is not None:
        overlay["num_classes"] = classifier.shape[0]
    if first_conv is not None:
        overlay["input_size"] = (first_conv.shape[1], *config["input_size"][1:])
    return overlay


def _weight(state: Mapping[str, Tensor], layers: str | Sequence[str] | None) -> Tensor | None:
    """The weight of a layer, or of the first of several."""
    return state.get(f"{layers if isinstance(layers, str) else (layers or [''])[0]}.weight")


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


def brief(error: BaseException) -> str:
    """What an error says, on one line; its name, where it says nothing that could be read by itself."""
    said = " ".join(str(error).split())[:300]
    return said if said and not isinstance(error, KeyError) else f"{type(error).__name__} {said}".rstrip()
