"""Fast AdvProp: the share that is attacked, the gradient that is kept, the speed of each parameter."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.data.mixup import Mixup, mixup_target
from timm.loss import LabelSmoothingCrossEntropy
from timm.utils import random_seed
from torch import Tensor, nn

from advprop import PGD, AdvPropTask, FastAdvPropTask, add_aux_norm, branch_parameters, use_branch
from advprop.tasks.shuffle import shuffle_ranks
from tests.reference import TinyNet, batch

FAST = PGD(eps=4 / 255, step_size=4 / 255, steps=1, targeted=None, mode="train", random_start=False)


def tiny() -> TinyNet:
    torch.manual_seed(3)
    return TinyNet(dropout=0.0)


def fast(model: nn.Module | None = None, attack: PGD = FAST, **kwargs: Any) -> FastAdvPropTask:
    return FastAdvPropTask(tiny() if model is None else model, attack, **{"share": 0.25} | kwargs)


def inputs_of(task: FastAdvPropTask) -> list[Tensor]:
    """A list that fills with what the model is given: the noisy images, then the two parts."""
    seen: list[Tensor] = []
    task.trainable_module.register_forward_pre_hook(lambda _, x: seen.append(x[0].detach().clone()))
    return seen


def gradients(task: FastAdvPropTask) -> dict[str, list[Tensor]]:
    groups = branch_parameters(task.trainable_module)
    return {name: [p.grad.clone() for p in group] for name, group in groups.items()}


@pytest.mark.parametrize(
    ("size", "share", "attacked"), [(8, 0.25, 2), (10, 0.2, 2), (5, 0.2, 1), (8, 0.5, 4), (4, 0.7, 3)]
)
def test_a_share_of_the_batch_is_attacked_and_the_rest_is_clean(
    size: int, share: float, attacked: int
) -> None:
    task, (images, labels) = fast(share=share).eval(), batch(size)
    seen = inputs_of(task)
    task(images, labels)
    noisy, both = seen
    assert torch.equal(noisy, images[size - attacked :])
    assert torch.equal(both[: size - attacked], images[: size - attacked])
    assert not torch.equal(both[size - attacked :], images[size - attacked :])
    assert len(both) == size  # each image is trained on once, clean or adversarial


def test_cost_is_one_pass_over_the_batch_and_one_over_the_share() -> None:
    task, (images, labels) = fast(), batch(8)
    seen = inputs_of(task)
    task(images, labels)["loss"].backward()
    assert [len(x) for x in seen] == [2, 8]


def test_the_step_is_the_sign_of_the_gradient_of_batch_statistics() -> None:
    task, (images, labels) = fast(), batch(8)
    model = copy.deepcopy(task.trainable_module)
    seen = inputs_of(task)
    torch.manual_seed(1)
    task(images, labels)
    origin = images[6:].clone().requires_grad_()
    with use_branch(model, "adv"):
        loss = F.cross_entropy(model(origin), labels[6:])
    (gradient,) = torch.autograd.grad(loss, [origin])
    expected = (images[6:] + 4 / 255 * gradient.sign()).clamp(0, 1)
    got = seen[-1][6:]
    assert any(torch.allclose(got, expected[list(order)], atol=1e-6) for order in ((0, 1), (1, 0)))


def test_fault_of_label_smoothing_that_shrinks_the_step() -> None:
    for criterion in (nn.CrossEntropyLoss(), LabelSmoothingCrossEntropy(0.1)):
        task, (_, labels) = fast(criterion=criterion), batch(8)
        images = torch.rand(8, 3, 8, 8) * 0.5 + 0.25
        seen = inputs_of(task)
        task(images, labels)
        got = seen[-1][6:]
        change = torch.minimum((got - images[6:]).abs(), (got - images[6:].flip(0)).abs())
        assert change.median() == pytest.approx(4 / 255, rel=1e-4)


def test_every_parameter_moves_along_the_average_over_its_images() -> None:
    task, (images, labels) = fast(criterion=LabelSmoothingCrossEntropy(0.1)), batch(8)
    model = copy.deepcopy(task.trainable_module)
    seen = inputs_of(task)
    task(images, labels)["loss"].backward()
    noisy, both = seen
    attacked = both[6:] if torch.allclose(both[6:], images[6:], atol=5 / 255) else both[6:].flip(0)

    def gradient(branch: str, x: Tensor, y: Tensor) -> dict[str, list[Tensor]]:
        groups = branch_parameters(model)
        model.zero_grad()
        with use_branch(model, branch):
            LabelSmoothingCrossEntropy(0.1)(model(x), y).backward()
        return {
            name: [torch.zeros_like(p) if p.grad is None else p.grad for p in g] for name, g in groups.items()
        }

    clean = gradient("main", images[:6], labels[:6])
    noise = gradient("adv", noisy, labels[6:])
    adv = gradient("adv", attacked, labels[6:])
    got = gradients(task)
    for ours, c, n, a in zip(got["shared"], clean["shared"], noise["shared"], adv["shared"], strict=True):
        torch.testing.assert_close(ours, (6 * c + 2 * 0.5 * n + 2 * 0.5 * a) / 8)
    for ours, c in zip(got["main"], clean["main"], strict=True):
        torch.testing.assert_close(ours, c)
    for ours, n, a in zip(got["adv"], noise["adv"], adv["adv"], strict=True):
        torch.testing.assert_close(ours, 0.5 * n + 0.5 * a)


def test_the_kept_gradient_travels_with_scaling_of_the_loss() -> None:
    once, scaled = fast(), fast()
    images, labels = batch(8)
    for task, factor in ((once, 1.0), (scaled, 1024.0)):
        torch.manual_seed(1)
        (task(images, labels)["loss"] * factor).backward()
    for name, group in gradients(once).items():
        for plain, large in zip(group, gradients(scaled)[name], strict=True):
            torch.testing.assert_close(large, plain * 1024)


# --- the speed of the parameters is nobody else's affair ----------------------------------------------


def hooks(model: nn.Module) -> int:
    return sum(len(p._backward_hooks or ()) for p in model.parameters())


def test_steps_do_not_add_up_their_factors() -> None:
    task, (images, labels) = fast().eval(), batch(8)
    results = []
    for _ in range(3):
        task.zero_grad()
        torch.manual_seed(1)
        task(images, labels)  # one that is never followed by a backward pass
        torch.manual_seed(1)
        task(images, labels)["loss"].backward()
        results.append(gradients(task))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


def test_nothing_is_left_on_the_parameters_for_the_next_task() -> None:
    images, labels = batch(8)
    results = []
    for used in (False, True):
        model = add_aux_norm(tiny()).eval()
        if used:
            for _ in range(2):  # two tasks on one model
                fast(model)(images, labels)["loss"].backward()
                assert hooks(model) == 0
            with torch.no_grad():
                fast(model)(images, labels)
            assert hooks(model) == 0
        model.zero_grad()
        task = AdvPropTask(model, PGD(steps=1, random_start=False, targeted=None))
        task(images, labels)["loss"].backward()
        results.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(results[1], results[0])


def test_frozen_parameters_stay_frozen() -> None:
    model = tiny()
    model.body[1].bias.requires_grad_(False)
    model.body[0].requires_grad_(False)
    task, (images, labels) = fast(model), batch(8)
    task(images, labels)["loss"].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert sum(not p.requires_grad for p in model.parameters()) == 3


@pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
def test_works_with_every_kind_of_auxiliary_norm(separate: Any) -> None:
    task, (images, labels) = fast(add_aux_norm(tiny(), separate=separate)), batch(8)
    task(images, labels)["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in task.parameters())


# --- mixup, shuffling ------------------------------------------------------------------------------------


def test_only_the_clean_part_is_mixed() -> None:
    given: list[Tensor] = []

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        given.append(labels)
        return F.cross_entropy(logits, labels)

    settings = {"num_classes": 5, "label_smoothing": 0.1}
    task, (images, labels) = fast(mixup=Mixup(**settings), criterion=criterion), batch(8)
    seen = inputs_of(task)
    random_seed(1)
    task(images, labels)
    random_seed(1)
    mixed, weights = Mixup(**settings)(images[:6].clone(), labels[:6])
    noisy, both = seen
    assert not torch.equal(mixed, images[:6])
    assert torch.equal(noisy, images[6:])
    torch.testing.assert_close(both[:6], mixed)
    unmixed = mixup_target(labels[6:], 5, smoothing=0.1)
    assert torch.equal(given[0], unmixed)
    torch.testing.assert_close(given[1], weights)
    assert {tuple(row) for row in given[2].tolist()} == {tuple(row) for row in unmixed.tolist()}


def test_shuffling_loses_and_repeats_no_image_and_keeps_its_label() -> None:
    images, labels = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 3, 2, 2), torch.arange(12)
    orders = set()
    for _ in range(5):
        shuffled, moved = shuffle_ranks(images, labels)
        assert torch.equal(shuffled[:, 0, 0, 0], moved.float())
        assert moved.sort().values.tolist() == list(range(12))
        orders.add(tuple(moved.tolist()))
    assert len(orders) == 5


def test_the_attacked_images_are_shuffled_before_they_are_trained_on() -> None:
    given: list[Tensor] = []

    def criterion(logits: Tensor, labels: Tensor) -> Tensor:
        given.append(labels)
        return F.cross_entropy(logits, labels)

    task, (images, labels) = fast(share=0.5, criterion=criterion), batch(8)
    for _ in range(4):
        task(images, labels)
    assert any(not torch.equal(noise, adv) for noise, adv in zip(given[::3], given[2::3], strict=True))
    assert all(
        torch.equal(noise.sort().values, adv.sort().values)
        for noise, adv in zip(given[::3], given[2::3], strict=True)
    )


# --- errors -----------------------------------------------------------------------------------------

IMAGES, LABELS = torch.rand(8, 3, 8, 8), torch.arange(8) % 5
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "two steps": (
        lambda: fast(attack=PGD(steps=2, targeted=None, mode="train")),
        "got steps=2 and mode='train'",
    ),
    "evaluation": (
        lambda: fast(attack=PGD(steps=1, targeted=None)),
        "got steps=1 and mode='eval'; pass PGD(steps=1",
    ),
    "share of 0": (lambda: fast(share=0.0), "share must be over 0 and under 1, got 0.0"),
    "share of 1": (lambda: fast(share=1), "share must be over 0 and under 1, got 1"),
    "other branches": (
        lambda: fast(add_aux_norm(tiny(), ("adv", "aa"))),
        "Fast AdvProp has the branches ('main', 'adv'), the model has ('main', 'adv', 'aa')",
    ),
    "nothing attacked": (
        lambda: fast(share=0.2)(IMAGES[:2], LABELS[:2]),
        "a share of 0.2 of a batch of 2 is 0 images, and both parts need one or more",
    ),
    "nothing clean": (
        lambda: fast(share=0.9)(IMAGES[:4], LABELS[:4]),
        "is 4 images, and both parts need one",
    ),
    "odd clean part": (
        lambda: fast(mixup=Mixup(num_classes=5), share=0.4)(IMAGES, LABELS),
        "mixup pairs clean images",
    ),
    "normalised images": (
        lambda: fast()(IMAGES * 4 - 2, LABELS),
        "images must be pixels in [0, 1], got values from",
    ),
}


@pytest.mark.parametrize(("cause", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_was_wrong(cause: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cause()


@pytest.mark.parametrize("targeted", ["random", "least_likely"])
def test_fault_of_a_targeted_attack_with_gradient_reuse_that_is_not_refused(targeted: Any) -> None:
    message = f"so the attack must be untargeted; got targeted='{targeted}', pass PGD(targeted=None, ...)"
    with pytest.raises(ValueError, match=re.escape(message)):
        fast(attack=PGD(steps=1, targeted=targeted, mode="train"))


def test_without_the_check_any_pixels_are_taken() -> None:
    attack = PGD(steps=1, targeted=None, mode="train", check=False)
    assert fast(attack=attack)(IMAGES * 4 - 2, LABELS)["loss"].isfinite()


class RootOfPixels(nn.Module):
    """A network for which pixels of exactly 0 have an infinite gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images.sqrt())
        return logits


def test_a_gradient_that_is_not_finite_names_its_images() -> None:
    images, labels = batch(8)
    images = images.clamp(0.1, 1)
    images[7, 0, 2, 2] = 0
    with pytest.raises(FloatingPointError, match=re.escape("not finite for images [1] of the batch of 2")):
        fast(RootOfPixels())(images, labels)
    unchecked = fast(RootOfPixels(), replace(FAST, check=False))
    assert unchecked(images, labels)["loss"].isnan()


def test_default_settings_are_those_of_the_paper() -> None:
    task = FastAdvPropTask(tiny())
    assert task.share == 0.2
    assert task.attack == PGD(eps=1 / 255, step_size=1 / 255, steps=1, targeted=None, mode="train")
