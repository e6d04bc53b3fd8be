"""Passes of a model in mixed precision: those that need no gradients, and whether they are in fp16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def without_gradients() -> Iterator[None]:
    """`torch.no_grad()`, after which a training pass in the same autocast still has every gradient.

    Autocast keeps each weight that it has cast until it ends. Older versions of torch, 2.9 for one, keep
    those that were cast where gradients are off as well, and a later pass that takes them trains no such
    weight, in silence.
    """
    kept = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_autocast_cache_enabled(kept)


def is_half(images: Tensor) -> bool:
    """Whether what a model makes of the images is in fp16, by their dtype or by autocast."""
    device = images.device.type
    autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    return autocast or images.dtype == torch.float16
