"""How the training of a pretrained network begins: with parts that stay as they are, and a small new head."""

from typing import Any

from timm.utils.model import freeze
from torch import nn

from advprop.runtime import without_gradients


def freeze_parts(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Keeps parts of a model, its modules, as they are: parameters, and the statistics of their batch norms.

    Raises:
        ValueError: If there is no such part, or nothing is left to train.
    """
    known = [name for name, _ in model.named_modules() if name]
    for part in parts:
        if part not in known:
            top = [name for name, _ in model.named_children()]
            raise ValueError(
                f"the model has no part {part!r} to freeze; its parts are {', '.join(top)} (--freeze)"
            )
    freeze(model, list(parts))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            f"some part of the model must be trained, got --freeze {' '.join(parts)}; leave out a part of it"
        )


def begin_small(model: nn.Module, classes: int) -> None:
    """Shrink the head of a pretrained network, if the weights did not have it: classes begin equally likely.

    timm draws the head of an EfficientNet from ±1/sqrt(classes). With few classes the first losses are then
    several times log(classes), and their gradients spoil the features before the head has learned anything.
    The head is new if the weights, by the model's configuration, are for another number of classes.
    """
    network: Any = model
    if network.pretrained_cfg["num_classes"] == classes:
        return
    head = network.get_classifier()
    with without_gradients():
        for layer in head if isinstance(head, tuple) else (head,):  # a distilled transformer has two
            for parameter in layer.parameters():
                parameter.mul_(0.01 if parameter.ndim > 1 else 0)
