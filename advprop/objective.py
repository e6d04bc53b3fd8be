"""What an attack climbs: the loss of the labels, or minus the loss of a wrong class."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advprop.ball import uniform

Targeted: TypeAlias = Literal["random", "least_likely"] | None


class Objective:
    """What the climb makes larger for each image: the loss of its label, or minus that of its target."""

    def __init__(
        self, targeted: Targeted, labels: Tensor, targets: Tensor | None, generator: torch.Generator | None
    ) -> None:
        self.targeted = targeted
        self.labels = labels
        self.targets = targets
        self.generator = generator

    def __call__(self, logits: Tensor) -> Tensor:
        """The objective of each image `[B]`, from logits `[B, classes]`."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.labels.ndim == 2 and self.labels.shape[1] != logits.shape[1]:
            raise ValueError(
                f"labels must have {logits.shape[1]} weights, as the logits, got {self.labels.shape[1]}"
            )
        if self.targeted is None and self.targets is None:
            labels = self.labels.to(logits.dtype) if self.labels.ndim == 2 else self.labels
            return F.cross_entropy(logits, labels, reduction="none")
        if self.targets is None:
            self.targets = random_wrong_class(self.labels, logits.shape[1], self.generator)
        return -F.cross_entropy(logits, self.targets, reduction="none")

    def aim(self, model: nn.Module, images: Tensor) -> None:
        """Takes the wrong class that the model finds least likely as each image's target."""
        with torch.no_grad():
            logits: Tensor = model(images)
        wrong = wrong_classes(self.labels, logits.shape[1])
        self.targets = logits.float().masked_fill(~wrong, math.inf).argmin(1)


def wrong_classes(labels: Tensor, classes: int) -> Tensor:
    """Which classes are wrong for each image, `[B, classes]`: those of the least weight in its label.

    For weights of mixup and CutMix these are the classes of zero weight; with label smoothing, those
    that have nothing but the smoothing.
    """
    if labels.ndim == 2:
        return labels == labels.amin(1, keepdim=True)
    return torch.arange(classes, device=labels.device) != labels[:, None]


def random_wrong_class(labels: Tensor, classes: int, generator: torch.Generator | None = None) -> Tensor:
    """A wrong class for each image `[B]`, every wrong class as likely as another."""
    if classes < 2:
        raise ValueError(
            "a targeted attack needs a wrong class, and the model has only one; pass targeted=None"
        )
    score = uniform((len(labels), classes), labels, generator)
    return score.masked_fill(~wrong_classes(labels, classes), -1).argmax(1)
