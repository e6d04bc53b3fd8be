"""The ball is kept to the last digits: where sums are long, and where pixels are in half precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advprop import FGSM, GD, IFGSM, PGD, FastAdvPropTask
from advprop.attacks.ball import Ball
from tests.reference import TinyNet

HALVES = (torch.bfloat16, torch.float16)
halves = pytest.mark.parametrize("dtype", HALVES, ids=str)


class Sum(nn.Module):
    """Logits whose gradient is the same for every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.flatten(1).float().mean(1)
        return torch.stack([total, -total], 1)


LABELS = torch.tensor([0, 1, 0, 1])


def large(level: float | None) -> Tensor:
    """Images of 224 x 224 pixels: all of one level, or random ones."""
    random = torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return random if level is None else torch.full_like(random, level)


def lengths(adversarial: Tensor, images: Tensor) -> Tensor:
    return (adversarial.double() - images.double()).flatten(1).norm(dim=1)


# --- L2 at 224 x 224 ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [None, 0.0, 1e-4, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("eps", [0.1, 0.5, 3.0, 20.0])
def test_an_l2_ball_is_kept_to_a_millionth(level: float | None, eps: float) -> None:
    images = large(level)
    for attack in (
        FGSM(eps=eps, norm="l2"),
        PGD(eps=eps, step_size=eps / 2, steps=3, norm="l2"),
        PGD(eps=eps, steps=0, norm="l2"),
    ):
        adversarial = attack(Sum(), images, LABELS, generator=torch.Generator().manual_seed(1))
        assert lengths(adversarial, images).max() <= eps * (1 + 1e-6)
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1


@pytest.mark.parametrize("eps", [0.1, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e3])
def test_a_step_of_equal_values_has_its_length(eps: float, scale: float) -> None:
    ball = Ball(eps, "l2")
    step = ball.ascent(torch.full((2, 3, 224, 224), scale))
    center, one = torch.zeros(2, 3, 224, 224), torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(lengths(step, center), one, rtol=1e-6, atol=0)
    near = ball.project(center + 2 * eps * step, center, ball.radius(center))
    torch.testing.assert_close(lengths(near, center), eps * one, rtol=1e-6, atol=0)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("eps", [0.1, 0.5, 3.0, 20.0])
def test_projections_and_random_points_never_round_out_of_the_ball(level: float, eps: float) -> None:
    ball, center = Ball(eps, "l2"), large(level)
    torch.manual_seed(0)
    for far in (torch.ones_like(center), torch.zeros_like(center), torch.rand_like(center)):
        near = ball.project(far, center, ball.radius(center))
        assert lengths(near, center).max() <= eps * (1 + 1e-6)
    points = ball.random_point(center, ball.radius(center))
    assert lengths(points, center).max() <= eps * (1 + 1e-6)


# --- half precision -------------------------------------------------------------------------------

ATTACKS: dict[str, PGD] = {
    "PGD": PGD(),
    "FGSM": FGSM(eps=4 / 255),
    "IFGSM": IFGSM(eps=8 / 255, step_size=3 / 255),
    "start": PGD(steps=0),
    "short steps": PGD(eps=2 / 255, step_size=0.3 / 255, steps=20),
    "channels": PGD(eps=(1 / 255, 4 / 255, 8 / 255)),
    "L2": PGD(eps=0.5, step_size=0.2, norm="l2"),
    "L2 start": PGD(eps=0.5, steps=0, norm="l2"),
}


def half_images(dtype: torch.dtype) -> Tensor:
    """Random pixels, dark ones, and some of exactly 0 and 1."""
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    images[1] *= 0.02
    return images.clamp(0, 1).to(dtype)


def excess(attack: PGD, adversarial: Tensor, images: Tensor) -> float:
    """How far the images leave the ball, in parts of its radius."""
    if attack.norm == "l2":
        size, radius = lengths(adversarial, images), torch.tensor(attack.eps).double()
    else:
        size = (adversarial.double() - images.double()).abs().amax((0, 2, 3))
        radius = torch.tensor(attack.eps).double()
    return float((size / radius).max() - 1)


@halves
@pytest.mark.parametrize("name", ATTACKS)
def test_images_in_half_precision_stay_in_the_ball_as_such(name: str, dtype: torch.dtype) -> None:
    images, attack = half_images(dtype), ATTACKS[name]
    for model in (Sum(), TinyNet(dropout=0.0).to(dtype)):
        adversarial = attack(model, images, LABELS, generator=torch.Generator().manual_seed(1))
        assert adversarial.dtype == dtype
        assert excess(attack, adversarial, images) <= 1e-6
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        assert not torch.equal(adversarial, images)


@halves
@pytest.mark.parametrize("name", ["PGD", "FGSM", "short steps", "L2"])
def test_they_are_those_of_single_precision_rounded_towards_the_image(name: str, dtype: torch.dtype) -> None:
    images, attack = half_images(dtype), ATTACKS[name]
    labels = torch.zeros(4).long()
    found = attack(Sum(), images, labels, generator=torch.Generator().manual_seed(1)).double()
    wide = attack(Sum(), images.float(), labels, generator=torch.Generator().manual_seed(1)).double()
    spacing = torch.finfo(dtype).eps
    assert ((found - images.double()).abs() <= (wide - images.double()).abs() + 1e-7).all()
    assert (found - wide).abs().max() <= spacing


@halves
def test_short_steps_add_up(dtype: torch.dtype) -> None:
    """Each is shorter than what separates two numbers of half precision."""
    images = torch.full((4, 3, 8, 8), 0.75, dtype=dtype)
    settings: dict[str, Any] = {"step_size": 0.1 / 255, "steps": 40, "random_start": False}
    for attack in (PGD(eps=3 / 255, **settings), GD(**settings)):
        change = (attack(Sum(), images, LABELS).double() - images.double()).abs()
        assert change.min() >= 3 / 255 - torch.finfo(dtype).eps


@halves
def test_what_fast_advprop_attacks_with_stays_in_the_ball(dtype: torch.dtype) -> None:
    images, eps = half_images(dtype), 1.3 / 255
    attack = PGD(eps=eps, step_size=eps, steps=1, mode="train")
    task = FastAdvPropTask(TinyNet(dropout=0.0).to(dtype), attack, mean=0.0, std=1.0)
    adversarial, _, _ = task.attack_and_keep(images, LABELS)
    assert adversarial.dtype == dtype
    assert excess(attack, adversarial, images) <= 1e-6


@halves
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_attack_of_a_ball_without_extent_changes_nothing(norm: str, dtype: torch.dtype) -> None:
    images = half_images(dtype)
    assert torch.equal(PGD(eps=0.0, norm=norm)(Sum(), images, LABELS), images)
