"""Gradient checkpointing that changes no result: a pass that is repeated moves no running statistics."""

from typing import Any

import torch
from torch import Tensor, nn

from advprop.norms.aux_norm import STATISTICS
from advprop.norms.route import in_backward_pass


def checkpoint_gradients(model: nn.Module) -> None:
    """Switches timm's gradient checkpointing on, and keeps running statistics as they would be without it.

    A backward pass then repeats parts of the forward pass. In training mode a batch norm would move its
    statistics each time; here only the forward pass itself does.

    Args:
        model: A timm model, with auxiliary norms or without; changed in place.

    Raises:
        ValueError: If the model has no gradient checkpointing.

    Examples:
        >>> import timm
        >>> from advprop.norms import checkpoint_gradients
        >>> model = timm.create_model("test_resnet")
        >>> checkpoint_gradients(model)
        >>> model.grad_checkpointing
        True
    """
    if not can_checkpoint(model):
        raise ValueError(
            f"{type(model).__name__} has no gradient checkpointing; leave it out (--grad-checkpointing), or "
            "take another model"
        )
    switch: Any = model.set_grad_checkpointing
    switch(True)
    for module in model.modules():
        if _statistics(module):
            module.register_forward_pre_hook(_keep)
            module.register_forward_hook(_put_back, always_call=True)


def can_checkpoint(model: nn.Module) -> bool:
    """Whether a model has timm's gradient checkpointing, which is off afterwards."""
    switch: Any = getattr(model, "set_grad_checkpointing", None)
    if switch is None:
        return False
    try:
        switch(True)
    except AssertionError:  # what timm's models without it raise
        return False
    switch(False)
    return True


def _statistics(module: nn.Module) -> dict[str, Tensor]:
    """The running statistics that a layer itself has."""
    return {name: each for name, each in module.named_buffers(recurse=False) if name in STATISTICS}


def _keep(module: nn.Module, inputs: Any) -> None:
    if module.training and not torch.compiler.is_compiling() and in_backward_pass():
        module.__dict__["_kept"] = {name: each.clone() for name, each in _statistics(module).items()}


def _put_back(module: nn.Module, inputs: Any, output: Any) -> None:
    """Also where checkpointing ends the repeated pass inside this layer, since no more of it is needed."""
    for name, before in module.__dict__.pop("_kept", {}).items():
        getattr(module, name).data.copy_(before)  # a graph that is open takes no notice
