"""Reads files of weights by their content, whatever their ending, and runs no code that is in them."""

import argparse
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from timm.models import resolve_model_input_args
from torch import Tensor

from advprop.models.guess import layers_of
from advprop.models.names import current_name
from advprop.runtime import first_of

_TAKEN = "safetensors, and checkpoints or state dicts written by torch.save, can be read"
# Where checkpoints keep weights; averages come before the weights that they average.
_PLACES = ("state_dict_ema", "model_ema", "ema", "state_dict", "model", "model_state_dict", "module")
# What DistributedDataParallel and torch's averages, and then Lightning, put before every name.
_PREFIXES = ("module.", "model.")
_COMPILED = re.compile(r"(^|\.)_orig_mod\.")
_BEGINNINGS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself; get that by `git lfs pull`"),
    (rb"\s*<", "a web page (HTML or XML), not the file itself; download that"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "compressed; decompress it first"),
    (rb"\x89HDF", f"a file of Keras (HDF5); {_TAKEN}"),
    (rb"[\t\n\r -~]+$", f"a text; {_TAKEN}"),
)
_BLOCKED = re.compile(r"GLOBAL ([\w.]+) (?:was not|whose module)")


class Weights(NamedTuple):
    """The weights in a file, and the name of their architecture, if the file states one."""

    tensors: dict[str, Tensor]
    architecture: str | None


def read_weights(path: Path) -> Weights:
    """The weights in a file: a checkpoint of a run, of timm, torchvision or Lightning, or a state dict.

    If a checkpoint has a moving average of the weights, the average is taken; of a model with auxiliary
    norms, the main norms. Names are those of the plain model, without what DistributedDataParallel,
    `torch.compile` and Lightning put before them.

    Raises:
        ValueError: If there is no such file, or it has no weights; the message says in a line what it is.
    """
    try:
        if (other := _other_than_weights(path)) is None:
            found = _load(path)
            tensors = _tensors_in(found)
            if tensors is not None:
                return Weights(_main_norms(_plain_names(tensors)), _stated_architecture(found))
            other = f"it holds {_described(found)}, and no tensors with names; {_TAKEN}"
    except FileNotFoundError as error:
        raise ValueError(f"there are no weights {path}") from error
    except OSError as error:
        raise ValueError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except Exception as error:  # whatever a reader says of content that it cannot read
        raise ValueError(f"cannot read the weights {path}: {_blocked(path, error)}") from error
    raise ValueError(f"cannot read the weights {path}: {other}")


def weights_from(path: Path | str, name: str) -> dict[str, Any]:
    """What `timm.create_model` needs to start from a checkpoint file: its `pretrained_cfg_overlay`.

    `create_model` loads the weights and refuses those of another architecture.

    Args:
        path: A checkpoint of a run, of timm, torchvision or Lightning, a state dict that `torch.save` has
            written, or safetensors, whatever the ending. A moving average of the weights is taken where there
            is one, and the main norms of a model with auxiliary ones.
        name: The model that the checkpoint is of; its classes and channels may differ.

    Raises:
        ValueError: If there is no such file, or it holds no weights; the message says what it is.
    """
    state = read_weights(Path(path)).tensors
    config = resolve_model_input_args(current_name(name))["pretrained_cfg"]
    classifier, first_conv = (_weight(state, config, key) for key in ("classifier", "first_conv"))
    overlay: dict[str, Any] = {
        "state_dict": state,
        "file": str(path),
        "source": None,  # or timm would take the weights of an exported folder in its place
        "num_classes": 0 if classifier is None else classifier.shape[0],
        "label_offset": None,
    }
    if first_conv is not None:
        overlay["input_size"] = (first_conv.shape[1], *config["input_size"][1:])
    return overlay


def _weight(state: Mapping[str, Tensor], config: Mapping[str, Any], key: str) -> Tensor | None:
    """The weight of the first of the layers that a configuration names."""
    layers = layers_of(config, key)
    return state.get(f"{layers[0]}.weight") if layers else None


def _other_than_weights(path: Path) -> str | None:
    """What a path is that cannot have weights, as far as its beginning tells."""
    if path.is_dir():
        return _kind_of_folder(path)
    with path.open("rb") as file:
        start = file.read(100)
    if not start:
        return "it is empty"
    for pattern, kind in _BEGINNINGS:
        if re.match(pattern, start):
            return f"it is {kind}"
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        return "it is a TorchScript archive, which contains code; save the state_dict() of the model instead"
    if not any(name.endswith("data.pkl") for name in names):
        return f"it is a zip archive with {first_of(names)}; {_TAKEN}"
    return None


def _kind_of_folder(path: Path) -> str:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = None
    if isinstance(config, dict) and "architecture" in config:
        return "it is an exported model; give the file in it, model.safetensors"
    if isinstance(config, dict) and config.keys() & {"architectures", "model_type", "transformers_version"}:
        return (
            "it is a folder of the transformers library, whose weights have other names; give timm's weights"
        )
    if (path / "checkpoints").is_dir():
        return "it is the directory of a run; give one of its checkpoints, checkpoints/step-*.pt"
    return f"it is a directory; give a file: {_TAKEN}"


def _load(path: Path) -> Any:
    """What is in a file: tensors, numbers, texts, and lists and dictionaries of them."""
    with path.open("rb") as file:
        if file.read(9).endswith(b"{"):
            return safetensors.torch.load_file(path)
        file.seek(0)
        # timm and torchvision keep their options in a Namespace, which only holds values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)


def _blocked(path: Path, error: Exception) -> str:
    """Why a file cannot be read: which code it wants to run, or that it is damaged."""
    names = _BLOCKED.findall(str(error))
    if isinstance(error, SafetensorError) or not names:
        return f"it is damaged or cut off, or something else than weights; {_TAKEN}"
    if zipfile.is_zipfile(path):
        with torch.serialization.safe_globals([argparse.Namespace]):
            names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    whole = any(name.startswith("torch.nn.modules.") for name in names)
    what = "a whole pickled model" if whole else "a pickle"
    code = f"runs code ({first_of(names)}) when it is loaded"
    return f"it is {what} that {code}; save the state_dict() of the model instead"


def _tensors_in(found: Any) -> dict[str, Tensor] | None:
    """The tensors by name of the first place that has some."""
    if not isinstance(found, Mapping):
        return None
    for place in _PLACES:
        if inside := _tensors_in(found.get(place)):
            return inside
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    tensors.pop("n_averaged", None)  # of torch's AveragedModel
    return tensors if tensors and all(isinstance(name, str) for name in tensors) else None


def _plain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes of wrappers, in whatever order those were put around the model."""
    tensors = {_COMPILED.sub(r"\1", name): value for name, value in tensors.items()}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _plain_names({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors


def _main_norms(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the plain model, where those of one with auxiliary norms were saved."""
    wrapped = {name.partition(".aux.")[0] for name in tensors if ".aux." in name}
    wrapped &= {name.partition(".main.")[0] for name in tensors if ".main." in name}
    plain = {}
    for name, value in tensors.items():
        layer, inside, rest = name.partition(".main.")
        if name.partition(".aux.")[0] not in wrapped:
            plain[f"{layer}.{rest}" if inside and layer in wrapped else name] = value
    return plain


def _stated_architecture(found: Mapping[str, Any]) -> str | None:
    """What timm's training script (`args.model`, `arch`) and others say the model was."""
    options = found.get("args")
    options = vars(options) if isinstance(options, argparse.Namespace) else options
    given = options if isinstance(options, Mapping) else {}
    stated = given.get("model") or given.get("arch") or found.get("arch")
    return stated if isinstance(stated, str) else None


def _described(found: Any) -> str:
    return f"a dictionary of {first_of(found)}" if isinstance(found, Mapping) else f"a {type(found).__name__}"
