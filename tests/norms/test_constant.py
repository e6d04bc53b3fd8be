"""Norms as constants: the numbers of the model, but for rounding, whatever its wiring."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from advprop import PGD, add_aux_norm, use_branch
from advprop.norms import constant_norms
from advprop.norms.wiring import norms_after_weights
from advprop.norms.wrap import aux_norms
from tests.norms.test_wrap import stirred, tiny


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)).double()


class Wired(nn.Module):
    """Layers, and a forward pass that is given."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.other = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 1, bias=False)
        self.norm, self.second = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.linear, self.flat = nn.Linear(14, 14), nn.BatchNorm1d(14)
        self.way = forward
        self.kept: list[Tensor] = []
        for norm in (self.norm, self.second, self.flat):
            stir(norm)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x).flatten(2).mean(2)


class Hidden(torch.autograd.Function):
    """A function that no torch function mode sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 3 * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 3 * gradients[0]


def stir(norm: nn.Module) -> None:
    for tensor in (*norm.parameters(), *norm.buffers()):
        if tensor.is_floating_point():
            tensor.data += 0.5 + torch.rand_like(tensor)


def two_takers(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.norm(y) + y


def two_norms(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.norm(y) + 2 * m.second(y)


def hidden_taker(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.norm(y) + Hidden.apply(y)


def kept_output(m: Any, x: Tensor) -> Tensor:
    m.kept = [m.conv(x)]
    return m.norm(m.kept[0])


# How many of its norms a forward pass lets us fold.
WIRINGS: list[tuple[Callable[[Any, Tensor], Tensor], int]] = [
    (lambda m, x: m.norm(m.conv(x)), 1),
    (lambda m, x: m.second(m.other(m.norm(m.conv(x)).relu_())), 2),
    (lambda m, x: m.norm(m.other(m.norm(m.conv(x)))), 2),  # a norm in two places
    (lambda m, x: m.norm(m.conv(x)) + m.second(m.conv(x)), 0),  # a layer in two places
    (lambda m, x: m.norm(m.conv(x).relu()), 0),
    (lambda m, x: m.norm(m.conv(x).add_(1)), 0),
    (lambda m, x: m.norm(Hidden.apply(m.conv(x))), 0),
    (lambda m, x: m.norm(m.conv(x)) + m.conv.weight.sum(), 1),
    (lambda m, x: m.flat(m.linear(x[:, 0, 2:].flatten(0, 1)[:, :14])).view(len(x), 14, 14), 1),
    (lambda m, x: m.flat(m.linear(x[:, 0, 2:, 2:])), 0),  # channels of the norm are not those of the layer
    (two_takers, 0),
    (two_norms, 0),
    (hidden_taker, 0),
    (kept_output, 0),
]


def numbers(model: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and a gradient of the images."""
    leaf = images.clone().requires_grad_()
    logits = model(leaf)
    (gradient,) = torch.autograd.grad(logits.square().sum(), leaf)
    return logits.detach(), gradient


def check_same(model: nn.Module, images: Tensor) -> None:
    """That the norms of a model are constants, and nothing but rounding differs."""
    constant = constant_norms(model, images)
    assert constant is not model
    torch.testing.assert_close(numbers(constant, images), numbers(model, images))


@pytest.mark.parametrize(("forward", "folded"), WIRINGS, ids=lambda value: getattr(value, "__name__", value))
def test_only_a_norm_that_alone_takes_the_output_of_a_layer_is_folded(
    forward: Callable[[Any, Tensor], Tensor], folded: int, images: Tensor
) -> None:
    model = Wired(forward)
    pairs = norms_after_weights(model, images[:1])
    assert pairs is not None
    assert len(pairs) == folded
    check_same(model, images)
    check_same(model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last))


@pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
@pytest.mark.parametrize("norms", ["batch", "all"])
def test_every_kind_of_auxiliary_norm(separate: Any, norms: Any, images: Tensor) -> None:
    model = stirred(add_aux_norm(tiny(), norms=norms, separate=separate)).double()
    for branch in ("main", "adv", "main"):
        with use_branch(model, branch):
            check_same(model, images)


def test_synchronized_norms_and_those_without_parameters(images: Tensor) -> None:
    model = Wired(lambda m, x: m.second(m.other(m.norm(m.conv(x)))))
    model.norm, model.second = nn.SyncBatchNorm(6), nn.BatchNorm2d(6, affine=False)
    for norm in (model.norm, model.second):
        stir(norm)
    check_same(model.double().eval(), images)


def test_a_model_that_is_changed_is_looked_at_again(images: Tensor) -> None:
    model = Wired(lambda m, x: m.norm(m.conv(x)))
    check_same(model, images)
    model.conv.weight.data.mul_(2)
    model.norm.running_mean.add_(1)
    check_same(model, images)
    for way in (two_takers, lambda m, x: m.conv(x), lambda m, x: m.second(m.conv(x)), WIRINGS[1][0]):
        model.way = way
        for _ in range(2):
            constant = constant_norms(model, images)
            torch.testing.assert_close(numbers(constant, images), numbers(model, images))


def test_what_a_hook_sees_is_not_folded(images: Tensor) -> None:
    model = Wired(lambda m, x: m.norm(m.conv(x)))
    check_same(model, images)
    handle = model.conv.register_forward_hook(lambda *_: None)
    assert constant_norms(model, images) is model
    handle.remove()
    with torch.autocast("cpu", torch.float16):
        assert constant_norms(model, images) is model
    check_same(model, images)
    assert constant_norms(model.float(), images.half()) is model


def test_checkpointing_that_is_switched_on_after_an_attack_is_noticed() -> None:
    model = timm.create_model("test_resnet", num_classes=5).eval()
    images, labels, attack = torch.rand(2, 3, 32, 32), torch.tensor([0, 1]), PGD(steps=2, targeted=None)
    before = attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    model.set_grad_checkpointing(True)
    after = attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(after, before)


def test_models_that_are_compiled_checkpointed_or_of_several_branches_stay_as_they_are(
    images: Tensor,
) -> None:
    model = Wired(lambda m, x: m.norm(checkpoint(m.conv, x, use_reentrant=False)))
    assert constant_norms(model, images) is model
    numbers(constant_norms(model, images), images)
    for compiled in (torch.compile(plain := Wired(WIRINGS[0][0])), plain):
        assert isinstance(compiled, nn.Module)
        plain.compile()
        assert constant_norms(compiled, images) is compiled
    mixed = add_aux_norm(tiny()).double()
    with use_branch(mixed, {"main": 2, "adv": 2}):
        assert constant_norms(mixed, images) is mixed
    assert constant_norms(nn.Flatten(), images.flatten(1)) is not None


def test_the_model_and_the_random_state_are_not_touched(images: Tensor) -> None:
    model = Wired(lambda m, x: m.norm(m.conv(x)) + torch.rand(()))
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    constant = constant_norms(model, images)
    assert torch.equal(torch.get_rng_state(), state)
    constant(images)
    with pytest.raises(RuntimeError, match="channels"):
        constant(images[:, :2])
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_attack_is_the_plain_attack_but_for_rounding(images: Tensor, monkeypatch: Any) -> None:
    model = stirred(add_aux_norm(timm.create_model("test_efficientnet", num_classes=5).eval())).double()
    assert len(norms_after_weights(model, images[:1]) or ()) == len(list(aux_norms(model)))

    def attacked() -> Tensor:
        labels = torch.arange(4)
        with use_branch(model, "adv"):
            return PGD(steps=3)(model, images, labels, generator=torch.Generator().manual_seed(0))

    first, second = attacked(), attacked()
    assert torch.equal(first, second)  # that the first one looked at the model does not show
    monkeypatch.setattr("advprop.attacks.pgd.constant_norms", lambda model, images: model)
    torch.testing.assert_close(attacked(), first)


def test_without_batch_norms_an_attack_keeps_its_bits() -> None:
    model = timm.create_model("test_vit", num_classes=5).eval()
    images = torch.rand(2, 3, 64, 64)
    assert constant_norms(model, images) is model
