"""The attackers of AdvProp: a norm ball and the loop that climbs in it.

Everything here works on pixels in [0, 1] and measures `eps` and `step_size` in them, so 4/255 is
four gray levels whatever mean and std a model wants; the normalization belongs to what is attacked
(`PixelModel`).
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, SupportsIndex

import torch
from torch import Tensor, nn

from advprop.attacks.ball import Ball, NormName, is_number, radii, rounded, wide_dtype
from advprop.attacks.mode import Mode, fixed_weights, in_mode
from advprop.attacks.objective import Objective, Targeted, check_finite, finite_images, input_gradient
from advprop.attacks.pixels import check_batch, check_pixels
from advprop.norms import constant_norms


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient descent (Madry et al. 2018), the attacker of AdvProp (section 5.1).

    `attack(model, images, labels)` returns adversarial images. Nothing of the caller's changes: no
    gradient of a parameter, no running statistic, no training flag.

    Args:
        eps: Radius of the ball around each image, in pixels of [0, 1]: 4/255; one number, or one for
            each channel (`norm="linf"` only).
        step_size: Length of a step, in the same unit; None for a step of `eps`.
        steps: Number of steps.
        norm: `"linf"` or `"l2"` (the Euclidean length over the whole image).
        targeted: None drives each image away from its label, as robustness is measured. `"random"` drives it
            towards a random wrong class, as AdvProp trains (the default of its tasks), `"least_likely"`
            towards the class that the model thinks least of; both are weaker.
        random_start: Whether to start at a random point of the ball.
        project: Whether each step ends in the ball. GD of the paper has no ball.
        mode: Behavior of norms and dropout while the attack runs: `"eval"` (running statistics, the
            paper's choice), or `"train"` (batch statistics, as Fast AdvProp wants them).
        check: Whether to look for pixels outside [0, 1], for classes that the model does not have and for
            gradients that are not finite. It makes a GPU wait three times an attack; without it nothing
            does, and such gradients turn their images into NaN, so that the loss shows it.

    Raises:
        ValueError: If a setting is outside of its range, or contradicts what a preset is.

    Examples:
        >>> import timm, torch
        >>> from advprop import PGD
        >>> model = timm.create_model("test_resnet", num_classes=10)
        >>> images, labels = torch.rand(2, 3, 64, 64), torch.tensor([3, 7])
        >>> adversarial = PGD(eps=4 / 255, step_size=1 / 255, steps=5)(model, images, labels)
        >>> bool((adversarial - images).abs().max() <= 4 / 255 + 1e-6)
        True
    """

    eps: float | Sequence[float] = 4 / 255
    step_size: float | None = 1 / 255
    steps: int = 5
    norm: NormName = "linf"
    targeted: Targeted = None
    random_start: bool = True
    project: bool = True
    mode: Mode = "eval"
    check: bool = True

    preset: ClassVar[Mapping[str, object]] = {}
    """The settings that make an attack what it is called."""

    def __post_init__(self) -> None:
        for name, fixed in self.preset.items():
            if (value := getattr(self, name)) != fixed:
                kind = type(self).__name__
                raise ValueError(
                    f"{name} of {kind} is always {fixed}, got {value!r}; use PGD({name}={value!r})"
                )
        _ = self.ball  # checks eps and norm
        if not isinstance(self.steps, SupportsIndex) or self.steps < 0:
            raise ValueError(f"steps must be a whole number, 0 or more, got {self.steps!r}")
        if self.step_size is None:
            if not is_number(self.eps):
                raise ValueError(f"a step of eps needs one number for eps, got {self.eps}; pass step_size")
        elif not is_number(self.step_size) or not math.isfinite(self.step_size) or self.step_size < 0:
            raise ValueError(f"step_size must be 0 or more, got {self.step_size!r}")
        choices = {
            "targeted": (self.targeted, ("random", "least_likely", None)),
            "mode": (self.mode, ("eval", "train")),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")

    def __str__(self) -> str:
        eps = " ".join(f"{255 * radius:.3g}" for radius in radii(self.eps))
        return f"{self.kind}, eps {eps}/255, {self.steps} {'step' if self.steps == 1 else 'steps'}"

    @property
    def kind(self) -> str:
        """Aim, name and norm of the attack, in words."""
        aim = f"targeted ({self.targeted})" if self.targeted else "untargeted"
        return f"{aim} {type(self).__name__}, {self.norm}"

    @cached_property
    def ball(self) -> Ball:
        """The ball around each image."""
        return Ball(self.eps, self.norm)

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        targets: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Adversarial images for a batch.

        Args:
            model: Pixels `[B, C, H, W]` in [0, 1] to logits `[B, classes]`.
            images: Pixels `[B, C, H, W]` in [0, 1].
            labels: Classes `[B]`, or weights of the classes `[B, classes]` (mixup, label smoothing).
            targets: Given classes `[B]` to drive each image towards, in place of `targeted`.
            generator: Source of all randomness; the global one by default. With a generator, the
                caller's random state stays untouched.

        Returns:
            Images `[B, C, H, W]` in [0, 1], without a gradient, of the dtype of `images`; in half precision
            they are rounded towards the images, so that they stay in the ball.

        Raises:
            ValueError: If images and labels do not fit together, pixels are outside [0, 1], or classes are
                outside those of the model.
            FloatingPointError: If an input gradient is not finite; names the images of the batch.
            RuntimeError: Under `torch.inference_mode()`; `torch.no_grad()` is fine.
        """
        if self.check:
            check_pixels(images)
        check_batch(images, labels, targets)
        clean = images.detach()
        radius = self.ball.radius(clean)
        finite = torch.ones(len(clean), dtype=torch.bool, device=clean.device)
        with in_mode(model, self.mode, generator), ExitStack() as stack:
            adversarial = self._wide_start(clean, generator)
            loss = Objective(self.targeted, labels, targets, generator, self.check)
            attacked = constant_norms(model, clean) if self.mode == "eval" and self.steps else model
            if attacked is model:  # else its weights are copies
                stack.enter_context(fixed_weights(model))
            if self.steps and self.targeted == "least_likely" and targets is None:
                loss.aim(attacked, clean)
            for _ in range(self.steps):
                gradient = input_gradient(attacked, self._as(adversarial, clean), loss)
                if self.check:
                    finite &= finite_images(gradient)
                adversarial = self.step(adversarial, clean, gradient, radius)
        if self.check:
            check_finite(finite)
        return self._as(adversarial, clean)

    @property
    def step_length(self) -> float:
        """Length of a step: `step_size`, or `eps` where that is None."""
        return radii(self.eps)[0] if self.step_size is None else float(self.step_size)

    def step(self, images: Tensor, clean: Tensor, gradient: Tensor, radius: Tensor | None = None) -> Tensor:
        """One step up the gradient, back into the ball around the clean images, and into [0, 1].

        Args:
            images: Where the climb is, `[B, C, H, W]`; what is returned has their dtype.
            clean: Where the balls are, likewise.
            gradient: Of what is climbed, with respect to `images`, likewise; its length does not matter.
            radius: What `ball.radius(clean)` gives, where it is at hand.
        """
        wide = wide_dtype(images)
        moved = self.ball.ascent(gradient.to(wide)).mul_(self.step_length).add_(images)
        if self.project:
            moved = self.ball.project(moved, clean, self.ball.radius(clean) if radius is None else radius)
        moved.clamp_(0, 1)
        return moved if images.dtype == wide else self._as(moved, clean)

    def start(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Where the climb starts: a point of the ball around each image, or the image itself.

        Args:
            images: Pixels `[B, C, H, W]` in [0, 1]; so is what is returned.
            generator: Source of the randomness; the global one by default.
        """
        return rounded(self._wide_start(images, generator), images)

    def _wide_start(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.random_start:
            return images.to(wide_dtype(images))
        return self.ball.random_point(images, self.ball.radius(images), generator).clamp(0, 1)

    def _as(self, images: Tensor, clean: Tensor) -> Tensor:
        """Images in the dtype of the clean ones, not out of the ball that they are in."""
        return rounded(images, clean) if self.project else images.to(clean.dtype)


@dataclass(frozen=True, kw_only=True)
class IFGSM(PGD):
    """Iterative FGSM (Kurakin et al. 2017): PGD that starts at the clean image.

    Examples:
        >>> from advprop import IFGSM
        >>> IFGSM().random_start
        False
    """

    random_start: bool = False

    preset: ClassVar[Mapping[str, object]] = {"random_start": False}


@dataclass(frozen=True, kw_only=True)
class GD(PGD):
    """Gradient descent of the paper's comparison: PGD that is not held in the ball, only in [0, 1].

    Examples:
        >>> from advprop import GD
        >>> GD().project
        False
    """

    project: bool = False

    preset: ClassVar[Mapping[str, object]] = {"project": False}


@dataclass(frozen=True, kw_only=True)
class FGSM(PGD):
    """Fast gradient sign method (Goodfellow et al. 2015): one step of length `eps` from the clean image.

    Examples:
        >>> from advprop import FGSM
        >>> FGSM(eps=8 / 255).step_length == 8 / 255
        True
    """

    step_size: float | None = None
    steps: int = 1
    random_start: bool = False

    preset: ClassVar[Mapping[str, object]] = {"step_size": None, "steps": 1, "random_start": False}
