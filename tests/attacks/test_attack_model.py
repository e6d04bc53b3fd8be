"""What an attack makes of a model: its norms, its normalisation, its precision, its state."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advprop import FGSM, IFGSM, PGD, AdvPropTask, PixelModel, add_aux_norm, evaluate, use_branch
from advprop.attacks import objective as objective_module
from advprop.attacks.mode import in_mode
from advprop.attacks.objective import Objective
from tests.attacks.test_pgd import assert_same_state, caller_state, mixed_net, seeded
from tests.reference import TinyNet, batch


def test_evaluation_is_the_default_and_training_uses_batch_statistics() -> None:
    model, (images, labels) = TinyNet(dropout=0.0), batch()
    model.train()
    settings = {"eps": 0.1, "step_size": 0.05, "steps": 2}
    by_eval, by_train = IFGSM(targeted=None, **settings), IFGSM(targeted=None, mode="train", **settings)
    alone = torch.cat([by_eval(model, images[i : i + 1], labels[i : i + 1]) for i in range(len(images))])
    torch.testing.assert_close(by_eval(model, images, labels), alone)  # images do not see each other
    together = by_train(model, images, labels)
    other = by_train(model, torch.cat([images[:1], images[1:].flip(2)]), labels)
    assert not torch.equal(together[0], other[0])


def test_fault_of_running_statistics_that_move_during_the_attack() -> None:
    model, (images, labels) = TinyNet(), batch()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for mode in ("eval", "train"):
        PGD(mode=mode)(model, images, labels)
        assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert int(model.body[1].num_batches_tracked) == 0


def test_fault_of_attack_gradients_left_in_grad() -> None:
    model, (images, labels) = TinyNet(), batch()
    PGD()(model, images, labels)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("mean", [0.0, (0.485, 0.456, 0.406)])
def test_fault_of_eps_and_clamp_right_only_for_one_mean_and_std(mean: Any) -> None:
    std = 1.0 if mean == 0.0 else (0.229, 0.224, 0.225)
    net, (images, labels) = TinyNet().double().eval(), batch(dtype=torch.float64)
    folded = TinyNet().double().eval()
    folded.load_state_dict(net.state_dict())
    pixels = PixelModel(net, mean, std)
    weight, shift = net.body[0].weight, pixels.mean.double() / pixels.std.double()
    conv = nn.Conv2d(3, 8, 3, stride=2).double()
    conv.weight.data = weight.detach() / pixels.std.double()
    conv.bias.data = -(weight.detach() * shift).sum((1, 2, 3))
    folded.body[0] = conv
    for attack in (PGD(eps=8 / 255, targeted=None), PGD(eps=(2 / 255, 4 / 255, 8 / 255), targeted=None)):
        got = attack(pixels, images, labels, generator=seeded())
        torch.testing.assert_close(got, attack(folded, images, labels, generator=seeded()))
        assert (got - images).abs().max() <= 8 / 255 + 1e-9


class Confident(nn.Module):
    """So sure of class 0 that the gradient of its loss is below what fp16 can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.linear.weight.data = torch.tensor([[9.5], [0.5], [0.0]]).repeat(1, 4)
        self.linear.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1))
        return logits


@pytest.mark.parametrize("autocast", [True, False])
def test_fp16_gradients_vanish_without_the_scale_and_not_with_it(
    autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtype = torch.float32 if autocast else torch.float16
    model, images, labels = (
        Confident().to(dtype),
        torch.full((2, 4, 1, 1), 0.5, dtype=dtype),
        torch.zeros(2).long(),
    )
    for attack in (IFGSM(eps=0.1, step_size=0.1, targeted=None), FGSM(eps=0.1, norm="l2")):
        with monkeypatch.context() as patch, torch.autocast("cpu", torch.float16, enabled=autocast):
            assert not torch.equal(attack(model, images, labels), images)
            patch.setattr(objective_module, "HALF_SCALE", 1.0)
            assert torch.equal(attack(model, images, labels), images)


@pytest.mark.parametrize("targets", [None, torch.tensor([1, 2, 0])])
def test_the_objective_of_half_precision_is_worked_out_in_fp32(targets: Tensor | None) -> None:
    labels = torch.arange(3)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        logits = (20 * torch.rand(3, 5)).to(dtype)
        wide = torch.promote_types(dtype, torch.float32)
        found, expected = (Objective(None, labels, targets, None)(x) for x in (logits, logits.to(wide)))
        assert found.dtype == wide
        assert torch.equal(found, expected)


def test_the_scale_is_for_fp16_alone() -> None:
    images = torch.zeros(1, 3, 2, 2)
    assert objective_module.loss_scale(images) == 1
    assert objective_module.loss_scale(images.half()) > 1
    with torch.autocast("cpu", torch.float16):
        assert objective_module.loss_scale(images) > 1
    with torch.autocast("cpu", torch.bfloat16):
        assert objective_module.loss_scale(images) == 1


def test_a_gradient_of_zero_is_no_step_in_any_precision() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (0 * x).flatten(1)

    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        images, labels = batch(dtype=dtype)
        for attack in (FGSM(eps=0.1), FGSM(eps=0.5, norm="l2")):
            assert torch.equal(attack(Constant(), images, labels), images)


class RootOfPixels(nn.Module):
    """Pixels of exactly 0 have an infinite gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.net = TinyNet()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x.sqrt())
        return logits


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_that_is_not_finite_names_its_images(norm: str) -> None:
    images, labels = torch.rand(4, 3, 8, 8) * 0.8 + 0.1, torch.arange(4)
    images[1, 0, 2, 2] = images[3, 2, 5, 4] = 0
    attack = IFGSM(eps=0.01, step_size=0.01, steps=2, targeted=None, norm=norm)
    with pytest.raises(FloatingPointError, match=re.escape("not finite for images [1, 3] of the batch of 4")):
        attack(RootOfPixels(), images, labels)
    unchecked = replace(attack, check=False)
    adversarial = unchecked(RootOfPixels(), images, labels)
    assert adversarial.isnan().flatten(1).any(1).tolist() == [False, True, False, True]
    assert attack(RootOfPixels(), images[::2], labels[::2]).isfinite().all()


# --- the mode of what is attacked ------------------------------------------------------------


def test_the_branch_in_use_is_the_branch_attacked_and_stays_in_use() -> None:
    model, (images, labels) = add_aux_norm(TinyNet(dropout=0.0)).eval(), batch()
    for layer in (model.body[1].aux["adv"], model.head[1].aux["adv"]):
        layer.weight.data.uniform_(-1, 1)
    attack = IFGSM(eps=0.1, step_size=0.05, targeted=None)
    main = attack(model, images, labels)
    with use_branch(model, "adv"):
        adv, logits = attack(model, images, labels), model(images)
        hook = model.classifier.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyError("stop")))
        with pytest.raises(KeyError, match="stop"):
            attack(model, images, labels)
        hook.remove()
        assert torch.equal(model(images), logits)
    assert not torch.equal(main, adv)
    assert not torch.equal(model(images), logits)


def test_fault_of_a_robust_evaluation_that_crashes() -> None:
    model, (images, labels) = add_aux_norm(TinyNet()).eval(), batch()
    pixels = PixelModel(model, 0.5, 0.25)
    for branch in ("main", "adv"):
        with torch.no_grad(), use_branch(model, branch):
            adversarial = PGD(eps=8 / 255, targeted=None)(pixels, images, labels)
            assert F.cross_entropy(pixels(adversarial), labels) > F.cross_entropy(pixels(images), labels)


def test_dropout_works_in_training_mode_and_rests_in_evaluation() -> None:
    model, (images, labels) = TinyNet().train(), batch()
    seen: list[bool] = []
    model.body[3].register_forward_hook(lambda module, x, y: seen.append(torch.equal(x[0], y)))
    IFGSM(steps=2)(model, images, labels)
    IFGSM(steps=2, mode="train")(model, images, labels)
    assert seen == [True, True, False, False]


def test_a_generator_seeds_no_device_that_the_model_is_not_on(monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched.append)
    model, (images, labels) = TinyNet(), batch()
    PGD(mode="train")(model, images, labels, generator=seeded())
    assert touched == []
    torch.manual_seed(1)
    assert touched == [1]


def test_the_mode_is_restored_after_an_exception() -> None:
    model = mixed_net()
    before = caller_state(model)

    def fail() -> None:
        with in_mode(model, "train", seeded()):
            model(batch()[0])
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert_same_state(model, before)


def test_a_graph_that_is_open_goes_backward_after_an_attack_in_training_mode() -> None:
    model, (images, labels) = TinyNet(dropout=0.0).train(), batch()
    loss = F.cross_entropy(model(images), labels)
    adversarial = PGD(steps=1, mode="train", targeted=None)(model, images, labels)
    (loss + F.cross_entropy(model(adversarial), labels)).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_fault_of_attention_biases_that_are_kept_with_their_graph(training: bool) -> None:
    """LeViT keeps them in evaluation, until it is told to train; a graph can be neither copied nor saved."""
    model = timm.create_model("levit_128s", num_classes=5).train(training)
    images, labels = torch.rand(2, 3, 224, 224), torch.arange(2)
    flags = [module.training for module in model.modules()]
    evaluate(model, [(images, labels)], attack=FGSM())
    assert [module.training for module in model.modules()] == flags
    copy.deepcopy(model)
    AdvPropTask(model, PGD(steps=1)).train()(images, labels)
    copy.deepcopy(model)


def test_frozen_models_can_be_attacked() -> None:
    model, (images, labels) = TinyNet().requires_grad_(False), batch()
    assert not torch.equal(FGSM(eps=0.1)(model, images, labels), images)


def test_pixel_model_normalises_and_keeps_out_of_the_state_dict() -> None:
    net, (images, _) = TinyNet().eval(), batch()
    pixels = PixelModel(net, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)))
    assert torch.equal(pixels(images), net((images - mean) / std))
    assert not {"mean", "std"} & set(pixels.state_dict())
    assert not pixels.training
    assert PixelModel(net.train(), 0.5, 0.5).training
