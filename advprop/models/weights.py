"""Weights from a file: a checkpoint of a run, or a file of timm's or torch's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timm.models import resolve_model_input_args
from torch import Tensor

from advprop.models.guess import layers_of
from advprop.models.names import current_name
from advprop.models.weight_files import read_weights


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
