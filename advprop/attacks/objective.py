"""What an attack climbs: the loss of the labels, or minus the loss of a wrong class; and its gradient."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from advprop.attacks.ball import uniform
from advprop.runtime import is_half as is_half, without_gradients

Targeted: TypeAlias = Literal["random", "least_likely"] | None

# Keeps fp16 gradients of confident predictions above the smallest number that fp16 can hold.
HALF_SCALE = 1024.0


@dataclass(eq=False)
class Objective:
    """What the climb makes larger for each image: the loss of its label, or minus that of its target.

    Args:
        targeted: How targets are chosen where none are given; None climbs away from the labels.
        labels: Classes `[B]`, or weights of the classes `[B, classes]`.
        targets: Given classes `[B]`, in place of `targeted`. Else the first call chooses them.
        generator: Source of random targets; the global one by default.
        check: Whether to look, once, for classes that the logits do not have.

    Raises:
        ValueError: When it is called, if there are such classes, or weights of another number of classes.
    """

    targeted: Targeted
    labels: Tensor
    targets: Tensor | None
    generator: torch.Generator | None
    check: bool = False

    def __call__(self, logits: Tensor) -> Tensor:
        """The objective of each image `[B]`, from logits `[B, classes]`."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        self._check_once(logits.shape[1])
        if self.targeted is None and self.targets is None:
            _check_weights(self.labels, logits.shape[1])
            labels = self.labels.to(logits.dtype) if self.labels.ndim == 2 else self.labels.long()
            return F.cross_entropy(logits, labels, reduction="none")
        if self.targets is None:
            self.targets = random_wrong_class(self.labels, logits.shape[1], self.generator)
        return -F.cross_entropy(logits, self.targets.long(), reduction="none")

    def aim(self, model: Callable[[Tensor], Tensor], images: Tensor) -> None:
        """Takes the wrong class that the model finds least likely as each image's target."""
        with without_gradients():
            logits = model(images)
        self._check_once(logits.shape[1])
        wrong = wrong_classes(self.labels, logits.shape[1])
        self.targets = logits.float().masked_fill(~wrong, math.inf).argmin(1)

    def _check_once(self, classes: int) -> None:
        if self.check:
            check_classes(self.labels, classes)
            if self.targets is not None:
                check_classes(self.targets, classes, "targets")
        self.check = False


def wrong_classes(labels: Tensor, classes: int) -> Tensor:
    """Which classes are wrong for each image, `[B, classes]`: those of the least weight in its label.

    For weights of mixup and CutMix these are the classes of zero weight; with label smoothing, those
    that have nothing but the smoothing.

    Args:
        labels: Classes `[B]`, or weights of the classes `[B, classes]`.
        classes: How many there are, 2 or more.

    Raises:
        ValueError: If there is only one class, or another number of weights.
    """
    if classes < 2:
        raise ValueError(
            "a targeted attack needs a wrong class, and the model has only one; pass targeted=None"
        )
    _check_weights(labels, classes)
    if labels.ndim == 2:
        return labels == labels.amin(1, keepdim=True)
    return torch.arange(classes, device=labels.device) != labels[:, None]


def random_wrong_class(labels: Tensor, classes: int, generator: torch.Generator | None = None) -> Tensor:
    """A wrong class for each image `[B]`, every wrong class as likely as another."""
    score = uniform((len(labels), classes), labels, generator)
    return score.masked_fill(~wrong_classes(labels, classes), -1).argmax(1)


def input_gradient(
    model: Callable[[Tensor], Tensor], images: Tensor, loss: Callable[[Tensor], Tensor]
) -> Tensor:
    """Gradient of the summed loss times `loss_scale`, with respect to the images and to nothing else.

    Args:
        model: What is attacked.
        images: `[B, C, H, W]`, the shape of the gradient.
        loss: Logits `[B, classes]` to a loss for each image `[B]`.

    Raises:
        RuntimeError: Under `torch.inference_mode()`.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("an attack needs gradients, which torch.inference_mode() forbids: use no_grad()")
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        total = loss(model(leaf)).sum() * loss_scale(images)
    (gradient,) = torch.autograd.grad(total, leaf)
    return gradient


def loss_scale(images: Tensor) -> float:
    """What to multiply a loss by so that its gradient survives fp16; 1 in other precisions."""
    return HALF_SCALE if is_half(images) else 1.0


def check_classes(labels: Tensor, classes: int, name: str = "labels") -> None:
    """Refuses classes `[B]` that are none of so many; makes the device of the labels wait.

    Raises:
        ValueError: If one is not. Weights of the classes `[B, classes]` are not looked at.
    """
    if labels.ndim != 1 or not len(labels):
        return
    low, high = torch.stack(labels.long().aminmax()).tolist()
    if low < 0 or high >= classes:
        raise ValueError(
            f"{name} must be classes from 0 to {classes - 1}, as the model has them, got {low} to {high}; "
            "number the classes from 0, or make the model with more"
        )


def finite_images(gradient: Tensor) -> Tensor:
    """Whether the gradient `[B, C, H, W]` of each image is finite, `[B]`, in one pass over it."""
    low, high = gradient.flatten(1).aminmax(dim=1)
    return low.isfinite() & high.isfinite()


def check_finite(finite: Tensor) -> None:
    """Refuses gradients that are not finite, told for each image `[B]`; makes the device wait.

    Raises:
        FloatingPointError: If one is not; names the images.
    """
    bad = (~finite).nonzero().flatten().tolist()
    if bad:
        raise FloatingPointError(
            f"the input gradient is not finite for images {bad} of the batch of {len(finite)}; "
            "look for infinite weights or activations, or attack in bf16 or fp32"
        )


def _check_weights(labels: Tensor, classes: int) -> None:
    if labels.ndim == 2 and labels.shape[1] != classes:
        raise ValueError(f"labels must have {classes} weights, as the logits, got {labels.shape[1]}")
