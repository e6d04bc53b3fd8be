"""How the new head of a pretrained network begins."""

from typing import Any

from torch import nn

from advprop.runtime import without_gradients


def begin_small(model: nn.Module, classes: int) -> None:
    """Shrink the head of a pretrained network, if the weights did not have it: classes begin equally likely.

    timm draws the head of an EfficientNet from ±1/sqrt(classes). With few classes the first losses are then
    several times log(classes), and their gradients spoil the features before the head has learned anything.

    Args:
        model: A model with the configuration of its weights.
        classes: Number of its classes; the head is new if the weights are for another number.
    """
    network: Any = model
    if network.pretrained_cfg["num_classes"] == classes:
        return
    head = network.get_classifier()
    with without_gradients():
        for layer in head if isinstance(head, tuple) else (head,):  # a distilled transformer has two
            for parameter in layer.parameters():
                parameter.mul_(0.01 if parameter.ndim > 1 else 0)
