"""The attacks: one table drives each through the same tests; then what is particular to some."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advprop import FGSM, GD, IFGSM, PGD, PixelModel, add_aux_norm, use_branch
from advprop import objective as objective_module
from advprop.behaviour import behaviour
from tests.reference import NoWait, TinyNet, batch

with warnings.catch_warnings():  # foolbox imports a module of SciPy by its old name
    warnings.simplefilter("ignore", DeprecationWarning)
    import eagerpy
    import foolbox

ATTACKS = {
    "pgd": PGD(eps=8 / 255, step_size=3 / 255, steps=3),
    "pgd-untargeted": PGD(eps=8 / 255, step_size=3 / 255, steps=3, targeted=None),
    "pgd-least-likely": PGD(eps=8 / 255, step_size=3 / 255, steps=3, targeted="least_likely"),
    "pgd-train": PGD(eps=8 / 255, step_size=3 / 255, steps=3, mode="train"),
    "pgd-l2": PGD(eps=0.5, step_size=0.2, steps=3, norm="l2"),
    "pgd-per-channel": PGD(eps=(2 / 255, 0.0, 16 / 255), step_size=3 / 255, steps=3),
    "pgd-clean-start": PGD(eps=8 / 255, step_size=3 / 255, steps=3, clean_start=0.5),
    "pgd-clean-start-batch": PGD(eps=8 / 255, step_size=3 / 255, clean_start=0.5, start_per="batch"),
    "ifgsm": IFGSM(eps=8 / 255, step_size=3 / 255, steps=3),
    "gd": GD(eps=2 / 255, step_size=3 / 255, steps=3),
    "gd-l2": GD(eps=0.1, step_size=0.2, steps=3, norm="l2"),
    "fgsm": FGSM(eps=8 / 255),
    "fgsm-l2": FGSM(eps=0.5, norm="l2"),
}
every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def caller_state(model: nn.Module) -> dict[str, Any]:
    """Everything of the caller's that an attack could disturb."""
    return {
        "parameters": [p.detach().clone() for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "buffers": [b.clone() for b in model.buffers()],
        "flags": [module.training for module in model.modules()],
        "rng": torch.get_rng_state(),
    }


def assert_same_state(model: nn.Module, before: dict[str, Any]) -> None:
    torch.testing.assert_close(caller_state(model), before, rtol=0, atol=0)


def mixed_net() -> TinyNet:
    """A network in training with one batch norm kept in evaluation, and a gradient on one parameter."""
    model = TinyNet()
    model.train()
    model.body[1].eval()
    model.classifier.bias.grad = torch.full_like(model.classifier.bias, 3.0)
    return model


@every_attack
def test_result_is_an_image_in_the_ball(attack: PGD) -> None:
    model, (images, labels) = TinyNet().eval(), batch()
    before = images.clone()
    adversarial = attack(model, images, labels, generator=seeded())
    change = adversarial - images
    assert adversarial.shape == images.shape
    assert adversarial.dtype == images.dtype
    assert not adversarial.requires_grad
    assert torch.equal(images, before)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert change.abs().amax() > 0
    if attack.project and attack.norm == "linf":
        eps = torch.tensor(attack.eps).view(1, -1, 1, 1)
        assert (change.abs() <= eps + 1e-6).all()
    elif attack.project:
        assert (change.flatten(1).norm(dim=1) <= attack.eps + 1e-6).all()


@every_attack
def test_nothing_of_the_caller_changes(attack: PGD) -> None:
    model, (images, labels) = mixed_net(), batch()
    before = caller_state(model)
    attack(model, images, labels, generator=seeded())
    assert_same_state(model, before)


@every_attack
@pytest.mark.parametrize("at_first", [True, False])
def test_nothing_of_the_caller_changes_when_the_model_raises(attack: PGD, at_first: bool) -> None:
    model, (images, labels) = mixed_net(), batch()
    fails_at, calls = 1 if at_first else attack.steps, []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == fails_at:
            raise KeyError("out of order")

    model.classifier.register_forward_pre_hook(stop)
    before = caller_state(model)
    with pytest.raises(KeyError, match="out of order"):
        attack(model, images, labels, generator=seeded())
    assert_same_state(model, before)


@every_attack
def test_a_generator_decides_all_randomness(attack: PGD) -> None:
    model, (images, labels) = TinyNet(), batch()
    first = attack(model, images, labels, generator=seeded(1))
    torch.rand(5)  # whatever the caller draws in between
    assert torch.equal(attack(model, images, labels, generator=seeded(1)), first)
    is_random = attack.random_start or attack.mode == "train" or attack.targeted == "random"
    assert torch.equal(attack(model, images, labels, generator=seeded(2)), first) != is_random


@every_attack
def test_without_a_generator_the_global_seed_decides(attack: PGD) -> None:
    model, (images, labels) = TinyNet(), batch()
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(attack(model, images, labels))
    assert torch.equal(results[0], results[1])
    is_random = attack.random_start or attack.mode == "train" or attack.targeted == "random"
    assert torch.equal(results[0], results[2]) != is_random


@every_attack
def test_memory_format_and_no_grad_change_nothing(attack: PGD) -> None:
    model, (images, labels) = TinyNet().double(), batch(dtype=torch.float64)
    model.body[3].p = 0.0  # it draws its mask in the order of memory
    expected = attack(model, images, labels, generator=seeded())
    last = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        got = attack(model, last, labels, generator=seeded())
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert got.stride(1) == 1
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@every_attack
def test_the_loss_moves_the_right_way(attack: PGD) -> None:
    model, (images, labels) = TinyNet(dropout=0.0).eval(), batch(16)
    targets = (labels + 1) % 5
    towards = attack(model, images, labels, targets=targets, generator=seeded())
    away = replace(attack, targeted=None)(model, images, labels, generator=seeded())

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(model(x), y, reduction="none").detach()

    if attack.mode == "train":
        model.train()
    assert loss(towards, targets).mean() < loss(images, targets).mean()
    assert loss(away, labels).mean() > loss(images, labels).mean()
    if attack.mode == "eval":
        assert (loss(towards, targets) < loss(images, targets)).float().mean() > 0.8
        assert (loss(away, labels) > loss(images, labels)).float().mean() > 0.8


@every_attack
def test_bf16_fp16_and_fp64_keep_their_dtype(attack: PGD) -> None:
    for dtype, unit in ((torch.float64, 1e-12), (torch.bfloat16, 2**-8), (torch.float16, 2**-11)):
        model = TinyNet(dropout=0.0).to(dtype)
        images, labels = batch(dtype=dtype)
        adversarial = attack(model, images, labels, generator=seeded())
        assert adversarial.dtype == dtype
        assert adversarial.isfinite().all()
        assert (adversarial != images).any()
        change = (adversarial - images).double()
        if attack.project and attack.norm == "linf":
            assert (change.abs() <= torch.tensor(attack.eps).view(1, -1, 1, 1) + 2 * unit).all()
        elif attack.project:
            slack = 2 * unit * math.sqrt(change[0].numel())
            assert (change.flatten(1).norm(dim=1) <= attack.eps + slack).all()


@every_attack
def test_an_empty_batch_stays_empty(attack: PGD) -> None:
    images, labels = batch()
    assert replace(attack, mode="eval")(TinyNet(), images[:0], labels[:0]).shape == images[:0].shape


@every_attack
def test_without_the_check_nothing_waits_for_a_gpu(attack: PGD) -> None:
    model, (images, labels) = TinyNet(), batch()
    with NoWait():
        replace(attack, check=False)(model, images, labels)
    with pytest.raises(AssertionError, match="nonzero"), NoWait():
        attack(model, images, labels)


# --- an independent implementation ----------------------------------------------------------------


def foolbox_attack(kind: type[Any], start: Tensor | None, **settings: Any) -> Any:
    """A foolbox attack that starts where it is told to."""

    class Started(kind):  # type: ignore[misc]
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return eagerpy.astensor(start)

    return Started(random_start=start is not None, **settings)


@pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])
@pytest.mark.parametrize("random_start", [False, True], ids=["from-the-image", "random-start"])
@pytest.mark.parametrize(
    ("norm", "eps", "step_size", "atol"), [("linf", 8 / 255, 3 / 255, 0.0), ("l2", 0.5, 0.2, 1e-6)]
)
def test_pgd_agrees_with_foolbox(
    norm: str, eps: float, step_size: float, atol: float, random_start: bool, targeted: bool
) -> None:
    model, (images, labels) = TinyNet().eval(), batch(8)
    targets = (labels + 2) % 5
    ours = PGD(eps=eps, step_size=step_size, steps=7, norm=norm, targeted=None, random_start=random_start)
    start = replace(ours, steps=0)(model, images, labels, generator=seeded()) if random_start else None
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    theirs = foolbox_attack(kind, start, abs_stepsize=step_size, steps=7)
    goal = foolbox.criteria.TargetedMisclassification(targets) if targeted else labels
    expected = theirs.run(foolbox.PyTorchModel(model, bounds=(0, 1)), images, goal, epsilon=eps)
    got = ours(model, images, labels, targets=targets if targeted else None, generator=seeded())
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)
    assert (got != images).flatten(1).any(1).all()


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 0.5)])
def test_fgsm_agrees_with_foolbox(norm: str, eps: float) -> None:
    model, (images, labels) = TinyNet().eval(), batch(8)
    kind = {"linf": foolbox.attacks.FGSM, "l2": foolbox.attacks.FGM}[norm]
    expected = kind().run(foolbox.PyTorchModel(model, bounds=(0, 1)), images, labels, epsilon=eps)
    torch.testing.assert_close(FGSM(eps=eps, norm=norm)(model, images, labels), expected, rtol=0, atol=1e-6)


# --- where it starts ------------------------------------------------------------------------------


def share_of_clean_starts(attack: PGD, batches: int, size: int) -> tuple[float, set[float]]:
    """The share of images that start clean, and which shares there were within one batch."""
    images, generator = torch.full((size, 3, 2, 2), 0.5), seeded()
    stays = [(attack.start(images, generator) == images).flatten(1).all(1) for _ in range(batches)]
    within = {float(stay.float().mean()) for stay in stays}
    return float(torch.cat(stays).float().mean()), within


def test_clean_start_is_a_share_of_the_images() -> None:
    share, within = share_of_clean_starts(PGD(clean_start=0.2), batches=500, size=4)
    assert abs(share - 0.2) < 0.04
    assert len(within) > 2


def test_fault_of_randn_for_rand_where_58_percent_of_batches_start_clean() -> None:
    share, within = share_of_clean_starts(PGD(clean_start=0.2, start_per="batch"), batches=1000, size=4)
    assert abs(share - 0.2) < 0.05
    assert within == {0.0, 1.0}


@pytest.mark.parametrize(("clean_start", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_clean_start_of_none_and_of_all(clean_start: float, expected: float) -> None:
    assert share_of_clean_starts(PGD(clean_start=clean_start), batches=50, size=4)[0] == expected


def test_ifgsm_and_fgsm_start_at_the_image_and_pgd_and_gd_do_not() -> None:
    model, (images, labels) = TinyNet(), batch()
    for attack in (IFGSM(steps=0), FGSM(steps=0)):
        assert torch.equal(attack(model, images, labels), images)
    for attack in (PGD(steps=0), GD(steps=0)):
        assert not torch.equal(attack(model, images, labels), images)


def test_random_starts_are_uniform_in_the_ball() -> None:
    images = torch.full((4000, 1, 1, 2), 0.5)
    linf = PGD(eps=0.1).start(images, seeded()) - images
    assert abs(float(linf.mean())) < 0.003
    assert abs(float(linf.abs().mean()) - 0.05) < 0.002
    radius = (PGD(eps=0.1, step_size=0.1, norm="l2").start(images, seeded()) - images).flatten(1).norm(dim=1)
    assert float(radius.max()) <= 0.1 + 1e-6
    assert abs(float(radius.mean()) - 0.1 * 2 / 3) < 0.002  # uniform in a disc: two thirds of its radius


def test_gd_leaves_the_ball_but_not_the_range_of_pixels() -> None:
    model, (images, labels) = TinyNet().eval(), batch()
    adversarial = GD(eps=1 / 255, step_size=4 / 255, steps=3)(model, images, labels)
    assert (adversarial - images).abs().max() > 8 / 255
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1


# --- where it goes --------------------------------------------------------------------------------


class PixelsAreLogits(nn.Module):
    """The image is its own logits, so the pixel that rises is the target."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def test_least_likely_is_the_least_likely_wrong_class() -> None:
    images = torch.tensor([[0.1, 0.9, 0.3, 0.4]]).view(1, 4, 1, 1).repeat(2, 1, 1, 1)
    labels = torch.tensor([1, 0])  # of the second image, the least likely class is the true one
    attack = IFGSM(eps=0.2, step_size=0.1, steps=1, targeted="least_likely")
    rises = (attack(PixelsAreLogits(), images, labels) > images).flatten(1)
    assert rises.nonzero().tolist() == [[0, 0], [1, 2]]


def test_given_targets_take_the_place_of_every_other_aim() -> None:
    images, labels, targets = torch.full((3, 4, 1, 1), 0.5), torch.tensor([0, 1, 2]), torch.tensor([3, 2, 1])
    for targeted in ("random", "least_likely", None):
        attack = IFGSM(eps=0.2, step_size=0.1, steps=2, targeted=targeted)
        rises = (attack(PixelsAreLogits(), images, labels, targets=targets) > images).flatten(1)
        assert rises.nonzero()[:, 1].tolist() == targets.tolist()


def test_the_target_stays_the_same_through_all_steps() -> None:
    images, labels = torch.full((64, 10, 1, 1), 0.5), torch.zeros(64, dtype=torch.long)
    adversarial = IFGSM(eps=0.3, step_size=0.1, steps=3)(PixelsAreLogits(), images, labels)
    torch.testing.assert_close(adversarial.flatten(1).amax(1), torch.full((64,), 0.8))


def test_fault_of_1000_classes_hard_coded_ten_classes_crash() -> None:
    for classes in (2, 10, 1000):
        images, labels = batch(8, classes=min(classes, 8))
        assert PGD(steps=1)(TinyNet(classes), images, labels).shape == images.shape


def test_integer_labels_of_any_width() -> None:
    model, (images, labels) = TinyNet().eval(), batch()
    for attack in (IFGSM(targeted=None), IFGSM(targeted="least_likely")):
        expected = attack(model, images, labels)
        for dtype in (torch.uint8, torch.int16, torch.int32):
            assert torch.equal(attack(model, images, labels.to(dtype)), expected)
    targets = (labels + 1) % 5
    expected = IFGSM()(model, images, labels, targets=targets)
    assert torch.equal(IFGSM()(model, images, labels, targets=targets.int()), expected)


def test_untargeted_with_weights_of_classes_climbs_their_cross_entropy() -> None:
    model, (images, labels) = TinyNet().eval(), batch()
    hard = F.one_hot(labels, 5).float()
    attack = IFGSM(targeted=None)
    assert torch.equal(attack(model, images, hard), attack(model, images, labels))
    mixed = 0.5 * hard + 0.5 * hard.flip(0)
    assert not torch.equal(attack(model, images, mixed), attack(model, images, labels))


# --- norms and precision --------------------------------------------------------------------------


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
            patch.setattr(objective_module, "_HALF_SCALE", 1.0)
            assert torch.equal(attack(model, images, labels), images)


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


# --- the behaviour of what is attacked ------------------------------------------------------------


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


def test_dropout_works_in_training_behaviour_and_rests_in_evaluation() -> None:
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


def test_behaviour_restores_after_an_exception() -> None:
    model = mixed_net()
    before = caller_state(model)

    def fail() -> None:
        with behaviour(model, "train", seeded()):
            model(batch()[0])
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert_same_state(model, before)


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


# --- errors ---------------------------------------------------------------------------------------

IMAGES, LABELS = torch.rand(4, 3, 8, 8), torch.arange(4)
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "negative eps": (lambda: PGD(eps=-0.1), "eps must be 0 or more, got -0.1"),
    "infinite eps": (lambda: PGD(eps=math.inf), "eps must be 0 or more, got inf"),
    "nan eps": (lambda: PGD(eps=math.nan), "eps must be 0 or more, got nan"),
    "eps of 0..255": (lambda: PGD(eps=8), "measured in pixels of [0, 1], got 8; write 8/255"),
    "one eps of three": (lambda: PGD(eps=(0.1, 4.0, 0.1)), "write 4/255"),
    "l2 per channel": (lambda: PGD(eps=(1, 1, 1), norm="l2"), "eps for each channel needs norm='linf'"),
    "norm": (lambda: PGD(norm="l1"), "norm must be 'linf' or 'l2', got 'l1'"),
    "steps": (lambda: PGD(steps=-1), "steps must be a whole number, 0 or more, got -1"),
    "half a step": (lambda: PGD(steps=2.5), "steps must be a whole number, 0 or more, got 2.5"),
    "step_size": (lambda: PGD(step_size=-1.0), "step_size must be 0 or more, got -1.0"),
    "nan step_size": (lambda: PGD(step_size=math.nan), "step_size must be 0 or more, got nan"),
    "clean_start": (lambda: PGD(clean_start=1.5), "clean_start must be a share in [0, 1], got 1.5"),
    "targeted": (lambda: PGD(targeted="true"), "targeted must be one of ('random', 'least_likely', None)"),
    "start_per": (lambda: PGD(start_per="epoch"), "start_per must be one of ('image', 'batch')"),
    "mode": (lambda: PGD(mode="test"), "mode must be one of ('eval', 'train'), got 'test'"),
    "fgsm per channel": (lambda: FGSM(eps=(0.1, 0.1, 0.1)), "FGSM steps by eps, which must be one number"),
    "normalised images": (
        lambda: PGD()(TinyNet(), IMAGES * 4 - 2, LABELS),
        "images must be pixels in [0, 1], got values from -",
    ),
    "images of bytes": (
        lambda: PGD()(TinyNet(), (IMAGES * 255).byte(), LABELS),
        "pixels in [0, 1], got values",
    ),
    "nan images": (lambda: PGD()(TinyNet(), IMAGES * math.nan, LABELS), "got values from nan to nan"),
    "whole numbers": (
        lambda: PGD()(TinyNet(), IMAGES.long(), LABELS),
        "images must be [B, C, H, W] of floats",
    ),
    "no batch": (lambda: PGD()(TinyNet(), IMAGES[0, 0, 0], LABELS), "images must be [B, C, H, W] of floats"),
    "fewer labels": (lambda: PGD()(TinyNet(), IMAGES, LABELS[:3]), "4 images need classes [B]"),
    "labels of floats": (lambda: PGD()(TinyNet(), IMAGES, LABELS.float()), "4 images need classes [B]"),
    "one-hot integers": (
        lambda: PGD()(TinyNet(), IMAGES, F.one_hot(LABELS)),
        "weights [B, classes] (floats)",
    ),
    "targets": (lambda: PGD()(TinyNet(), IMAGES, LABELS, LABELS[:2]), "targets must be 4 classes [B]"),
    "soft targets": (
        lambda: PGD()(TinyNet(), IMAGES, LABELS, LABELS.float()),
        "targets must be 4 classes [B]",
    ),
    "weights": (
        lambda: PGD(targeted=None)(TinyNet(5), IMAGES, torch.rand(4, 7)),
        "labels must have 5 weights",
    ),
    "weights, random": (
        lambda: PGD()(TinyNet(5), IMAGES, torch.rand(4, 7)),
        "must have 5 weights, as the logits",
    ),
    "weights, least likely": (
        lambda: PGD(targeted="least_likely")(TinyNet(5), IMAGES, torch.rand(4, 7)),
        "labels must have 5 weights, as the logits, got 7",
    ),
    "one class": (lambda: PGD()(TinyNet(1), IMAGES, LABELS * 0), "needs a wrong class"),
    "one class, least likely": (
        lambda: PGD(targeted="least_likely")(TinyNet(1), IMAGES, LABELS * 0),
        "a targeted attack needs a wrong class, and the model has only one; pass targeted=None",
    ),
    "channels": (
        lambda: PGD(eps=(0.1, 0.1))(TinyNet(), IMAGES, LABELS),
        "images with 3 channels need as many",
    ),
    "std of 0": (lambda: PixelModel(TinyNet(), 0.5, 0.0), "std over 0, got 0.5 and 0.0"),
    "mean for three, std for one": (
        lambda: PixelModel(TinyNet(), (0.5,) * 3, 0.5),
        "a value for each channel",
    ),
    "grey images": (
        lambda: PixelModel(TinyNet(), (0.5,) * 3, (0.5,) * 3)(IMAGES[:, :1]),
        "images have 1 channels, mean and std have 3; pass a mean and a std for these images",
    ),
}


@pytest.mark.parametrize(("cause", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_was_wrong(cause: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cause()


def test_inference_mode_is_refused_with_the_way_out() -> None:
    model, (images, labels) = TinyNet(), batch()
    with (
        torch.inference_mode(),
        pytest.raises(RuntimeError, match=r"inference_mode\(\) forbids: use no_grad"),
    ):
        PGD()(model, images, labels)


def test_without_the_check_pixels_outside_the_range_are_the_callers_affair() -> None:
    adversarial = PGD(check=False)(TinyNet(), IMAGES * 2, LABELS)
    assert adversarial.max() <= 1


def test_settings_are_frozen_and_by_keyword() -> None:
    with pytest.raises(AttributeError):
        PGD().eps = 0.1  # type: ignore[misc]
    with pytest.raises(TypeError):
        PGD(0.1)  # type: ignore[misc]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_attack
def test_every_attack_on_a_gpu(attack: PGD) -> None:
    device = torch.device("cuda")
    model, (images, labels) = TinyNet().to(device), batch()
    images, labels = images.to(device), labels.to(device)
    before, cuda_rng = caller_state(model), torch.cuda.get_rng_state()
    pixels = PixelModel(model, (0.5,) * 3, (0.5,) * 3)
    for generator in (seeded, lambda: torch.Generator(device).manual_seed(1)):
        first = attack(pixels, images, labels, generator=generator())
        assert first.device == images.device
        with torch.autocast("cuda", torch.float16):
            attack(pixels, images, labels, generator=generator())
        assert torch.equal(torch.cuda.get_rng_state(), cuda_rng)
        assert_same_state(model, before)
