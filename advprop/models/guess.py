"""Which architecture weights look like, by a table of the names and shapes of the weights of timm models."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import timm
import torch

from advprop.runtime import package_folder

_TABLE = "architectures.txt"


def guess(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """The architectures that have just these tensors, whatever their classes and channels; none if none has.

    Examples:
        >>> from advprop.models import create_model
        >>> from advprop.models.guess import guess
        >>> model = create_model("test_resnet", num_classes=7, in_chans=1)
        >>> guess({name: tensor.shape for name, tensor in model.state_dict().items()})
        ['test_resnet']
    """
    table = (package_folder("data_files") / _TABLE).read_text(encoding="utf-8").splitlines()
    known = {key: names for key, *names in map(str.split, table)}
    for layers in {_adapted_layers(name) for name in timm.list_models()}:
        if any(f"{layer}.weight" in shapes for layer in layers):
            names = known.get(_fingerprint(shapes, layers))
            if names:
                return names
    return []


def architecture_table() -> str:
    """The table made anew, which takes some minutes; `scripts/make_architectures.py` keeps it.

    Each line has a checksum of the names and shapes of tensors, and the architectures that have them.
    """
    found: dict[str, list[str]] = {}
    for name in timm.list_models():
        with torch.device("meta"):
            state = timm.create_model(name).state_dict()
        shapes = {key: value.shape for key, value in state.items()}
        found.setdefault(_fingerprint(shapes, _adapted_layers(name)), []).append(name)
    return "".join(f"{key} {' '.join(names)}\n" for key, names in found.items())


def _adapted_layers(name: str) -> tuple[str, ...]:
    """The layers of a model that depend on classes and channels, by its configuration."""
    config = timm.get_pretrained_cfg(name)
    settings = vars(config) if config else {}
    return (*layers_of(settings, "classifier"), *layers_of(settings, "first_conv"))


def layers_of(config: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The names under a key of a configuration, which has one, several or none."""
    names: str | Iterable[str] = config.get(key) or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _fingerprint(shapes: Mapping[str, Sequence[int]], without: Collection[str]) -> str:
    """A checksum of names and shapes of tensors, without those of some layers and without counters."""
    found = hashlib.sha256()
    for name in sorted(shapes):
        layer, _, tensor = name.rpartition(".")
        if layer not in without and tensor != "num_batches_tracked":
            found.update(f"{name}{tuple(shapes[name])}".encode())
    return found.hexdigest()[:12]
