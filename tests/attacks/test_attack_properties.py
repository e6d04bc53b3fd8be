"""Properties of the attacks that hold for any image, label, setting and seed."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor, nn

from advprop import GD, IFGSM, PGD
from advprop.attacks.ball import Ball
from advprop.attacks.objective import random_wrong_class, wrong_classes

quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31)
radii = st.one_of(st.just(0.0), st.floats(1 / 255, 0.6))
sides = st.integers(1, 4)


class Linear(nn.Module):
    """Logits that are linear in the pixels: the loss is convex in them."""

    def __init__(self, shape: torch.Size, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.numel(), classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1))
        return logits


def problem(seed: int, channels: int, side: int, classes: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A model, images with pixels of exactly 0 and 1 among them, and labels."""
    torch.manual_seed(seed)
    images = (torch.rand(3, channels, side, side) * 1.4 - 0.2).clamp(0, 1)
    return Linear(images.shape[1:], classes), images, torch.randint(classes, (3,))


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(images), labels, reduction="none").detach()


@quick
@given(
    seed=seeds,
    channels=st.sampled_from([1, 3]),
    side=sides,
    eps=radii,
    step_size=radii,
    steps=st.integers(0, 4),
    norm=st.sampled_from(["linf", "l2"]),
    targeted=st.sampled_from(["random", "least_likely", None]),
    start=st.sampled_from([{"random_start": False}, {}]),
)
def test_stays_in_the_ball_and_in_the_range_of_pixels(
    seed, channels, side, eps, step_size, steps, norm, targeted, start
):
    model, images, labels = problem(seed, channels, side, classes=3)
    attack = PGD(eps=eps, step_size=step_size, steps=steps, norm=norm, targeted=targeted, **start)
    adversarial = attack(model, images, labels)
    change = (adversarial - images).flatten(1)
    size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
    assert (size <= eps + 1e-6).all()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    if eps == 0:
        assert torch.equal(adversarial, images)


@quick
@given(seed=seeds, eps=st.tuples(radii, radii, radii), steps=st.integers(0, 3))
def test_stays_in_the_ball_of_each_channel(seed, eps, steps):
    model, images, labels = problem(seed, 3, 3, classes=3)
    adversarial = PGD(eps=eps, step_size=0.3, steps=steps)(model, images, labels)
    largest = (adversarial - images).abs().amax((0, 2, 3))
    assert (largest <= torch.tensor(eps) + 1e-6).all()


@quick
@given(seed=seeds, side=sides, eps=radii, norm=st.sampled_from(["linf", "l2"]))
def test_zero_steps_return_the_start(seed, side, eps, norm):
    model, images, labels = problem(seed, 3, side, classes=3)
    attack = PGD(eps=eps, norm=norm, steps=0)
    got = attack(model, images, labels, generator=torch.Generator().manual_seed(seed))
    fork = torch.Generator().manual_seed(seed)
    torch.randint(2**62, (), generator=fork)  # what seeds the dropout of the model
    assert torch.equal(got, attack.start(images, fork))
    assert torch.equal(IFGSM(eps=eps, norm=norm, steps=0)(model, images, labels), images)


@quick
@given(seed=seeds, side=sides, eps=radii, step_size=radii, norm=st.sampled_from(["linf", "l2"]))
def test_every_step_away_from_the_label_raises_a_convex_loss(seed, side, eps, step_size, norm):
    model, images, labels = problem(seed, 3, side, classes=4)
    losses = [cross_entropy(model, images, labels)]
    for steps in (1, 2, 3):
        attack = IFGSM(eps=eps, step_size=step_size, steps=steps, norm=norm, targeted=None)
        losses.append(cross_entropy(model, attack(model, images, labels), labels))
    if norm == "linf":
        assert all((after >= before - 1e-5).all() for before, after in itertools.pairwise(losses))
    assert (losses[1] >= losses[0] - 1e-5).all()


@quick
@given(seed=seeds, side=sides, eps=radii, step_size=radii)
def test_every_step_towards_a_target_of_two_lowers_its_loss(seed, side, eps, step_size):
    model, images, labels = problem(seed, 3, side, classes=2)
    targets = 1 - labels
    before = cross_entropy(model, images, targets)
    for steps in (1, 2, 3):
        adversarial = IFGSM(eps=eps, step_size=step_size, steps=steps, targeted="random")(
            model, images, labels
        )
        after = cross_entropy(model, adversarial, targets)
        assert (after <= before + 1e-5).all()
        before = after


@quick
@given(seed=seeds, eps=st.floats(0, 0.01))
def test_gd_takes_every_step_in_full(seed, eps):
    model, images, labels = problem(seed, 3, 2, classes=2)  # the gradient keeps its sign
    images = images * 0 + 0.5
    adversarial = GD(eps=eps, step_size=0.01, steps=3, random_start=False)(model, images, labels)
    torch.testing.assert_close((adversarial - images).abs(), torch.full_like(images, 0.03))


# --- never the true class ---------------------------------------------------------------------------


@quick
@given(seed=seeds, classes=st.integers(2, 1000), smoothing=st.floats(0, 0.9))
def test_fault_of_a_random_target_that_is_the_true_class(seed, classes, smoothing):
    torch.manual_seed(seed)
    labels = torch.randint(classes, (50,))
    smoothed = mixup_target(labels, classes, smoothing=smoothing)
    assert (random_wrong_class(labels, classes) != labels).all()
    assert (random_wrong_class(smoothed, classes) != labels).all()


@quick
@given(
    seed=seeds,
    classes=st.integers(3, 50),
    mix=st.sampled_from([{"mixup_alpha": 1.0}, {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}]),
    mode=st.sampled_from(["batch", "pair", "elem"]),
    smoothing=st.sampled_from([0.0, 0.1]),
)
def test_fault_of_mixup_targets_that_break_the_attack(seed, classes, mix, mode, smoothing):
    torch.manual_seed(seed)
    images, labels = torch.rand(8, 3, 4, 4), torch.randint(classes, (8,))
    mixup = Mixup(mode=mode, label_smoothing=smoothing, num_classes=classes, **mix)
    mixed, weights = mixup(images, labels)
    target = random_wrong_class(weights, classes)
    nothing = smoothing / classes
    torch.testing.assert_close(weights.gather(1, target[:, None]), torch.full((8, 1), nothing))
    adversarial = PGD(steps=1, targeted="random")(Linear(images.shape[1:], classes), mixed, weights)
    assert adversarial.shape == images.shape


@quick
@given(
    seed=seeds,
    classes=st.integers(2, 12),
    soft=st.booleans(),
    aim=st.sampled_from(["random", "least_likely"]),
)
def test_an_attack_never_raises_the_true_class(seed, classes, soft, aim):
    torch.manual_seed(seed)
    images, labels = torch.rand(20, classes, 1, 1) * 0.6 + 0.2, torch.randint(classes, (20,))
    given_labels = mixup_target(labels, classes, smoothing=0.1) if soft else labels
    attack = IFGSM(eps=0.1, step_size=0.1, steps=1, targeted=aim)
    adversarial = attack(nn.Flatten(), images, given_labels)  # the image is its own logits: one pixel rises
    rises = (adversarial > images).flatten(1)
    assert (rises.sum(1) == 1).all()
    assert not rises.gather(1, labels[:, None]).any()


def test_every_wrong_class_is_as_likely_as_another():
    labels = torch.full((9000,), 1)
    target = random_wrong_class(labels, 4)
    share = torch.bincount(target, minlength=4) / len(target)
    torch.testing.assert_close(share, torch.tensor([1, 0, 1, 1]) / 3, atol=0.02, rtol=0)
    per_batch = {tuple(random_wrong_class(labels[:4], 4).tolist()) for _ in range(50)}
    assert len(per_batch) > 10


def test_wrong_classes_are_those_of_the_least_weight():
    weights = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.3, 0.7, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    wrong = [[False, True, True, True], [False, False, True, True], [True, True, True, True]]
    assert wrong_classes(weights, 4).tolist() == wrong
    assert wrong_classes(torch.tensor([2]), 4).tolist() == [[True, True, False, True]]


# --- the ball by itself ----------------------------------------------------------------------------------


@quick
@given(seed=seeds, side=sides, eps=radii, norm=st.sampled_from(["linf", "l2"]))
def test_projection_is_the_nearest_point_of_the_ball(seed, side, eps, norm):
    torch.manual_seed(seed)
    center, far = torch.rand(3, 2, side, side), torch.rand(3, 2, side, side) * 4 - 2
    ball = Ball(eps, norm)
    near = ball.project(far, center, ball.radius(center))
    torch.testing.assert_close(ball.project(near, center, ball.radius(center)), near)  # already inside
    to_near = (far - near).flatten(1).norm(dim=1)
    for _ in range(5):
        other = ball.random_point(center, ball.radius(center))
        assert (to_near <= (far - other).flatten(1).norm(dim=1) + 1e-5).all()


@quick
@given(seed=seeds, side=sides, norm=st.sampled_from(["linf", "l2"]))
def test_ascent_is_the_steepest_step_of_length_one(seed, side, norm):
    torch.manual_seed(seed)
    gradient = torch.randn(3, 2, side, side)
    ball = Ball(1.0, norm)
    best = (ball.ascent(gradient) * gradient).flatten(1).sum(1)
    origin = torch.zeros_like(gradient)
    for _ in range(5):
        step = ball.project(torch.randn_like(gradient) * 3, origin, ball.radius(origin))
        assert (best >= (step * gradient).flatten(1).sum(1) - 1e-5).all()
