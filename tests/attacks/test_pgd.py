"""The attacks: one table drives each through the same tests; then what is particular to some."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advprop import FGSM, GD, IFGSM, PGD, PixelModel
from tests.reference import NoWait, TinyNet, batch

with warnings.catch_warnings():  # foolbox imports a module of SciPy by its old name
    warnings.simplefilter("ignore", DeprecationWarning)
    import eagerpy
    import foolbox

ATTACKS = {
    "pgd": PGD(eps=8 / 255, step_size=3 / 255, steps=3),
    "pgd-random": PGD(eps=8 / 255, step_size=3 / 255, steps=3, targeted="random"),
    "pgd-least-likely": PGD(eps=8 / 255, step_size=3 / 255, steps=3, targeted="least_likely"),
    "pgd-train": PGD(eps=8 / 255, step_size=3 / 255, steps=3, mode="train"),
    "pgd-l2": PGD(eps=0.5, step_size=0.2, steps=3, norm="l2"),
    "pgd-per-channel": PGD(eps=(2 / 255, 0.0, 16 / 255), step_size=3 / 255, steps=3),
    "ifgsm": IFGSM(eps=8 / 255, step_size=3 / 255, steps=3, targeted="random"),
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


@pytest.mark.parametrize("kind", [PGD, IFGSM, GD, FGSM])
def test_an_attack_is_untargeted_until_a_target_is_asked_for(kind: type[PGD]) -> None:
    images, labels = torch.full((64, 10, 1, 1), 0.5), torch.arange(64) % 10
    away = kind(eps=0.01)(PixelsAreLogits(), images, labels, generator=seeded()).flatten(1)
    assert torch.equal(away.argmin(1), labels)
    towards = kind(eps=0.01, targeted="random")(PixelsAreLogits(), images, labels, generator=seeded())
    assert not (towards.flatten(1).argmax(1) == labels).any()
    assert str(kind()).startswith(f"untargeted {kind.__name__}, linf, eps 4/255, ")
    assert str(kind(targeted="random")).startswith(f"targeted (random) {kind.__name__}")


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        (FGSM, {"steps": 10}, "steps of FGSM is always 1, got 10; use PGD(steps=10)"),
        (FGSM, {"step_size": 0.1}, "step_size of FGSM is always None, got 0.1; use PGD(step_size=0.1)"),
        (IFGSM, {"random_start": True}, "random_start of IFGSM is always False, got True; use PGD"),
        (GD, {"project": True}, "project of GD is always False, got True; use PGD(project=True)"),
    ],
)
def test_a_preset_cannot_be_contradicted(kind: type[PGD], setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(**setting)
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(kind(), **setting)


def test_ifgsm_and_fgsm_start_at_the_image_and_pgd_and_gd_do_not() -> None:
    model, (images, labels) = TinyNet(), batch()
    for attack in (IFGSM(steps=0), FGSM()):
        assert torch.equal(attack.start(images), images)
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
    adversarial = IFGSM(eps=0.3, step_size=0.1, steps=3, targeted="random")(PixelsAreLogits(), images, labels)
    torch.testing.assert_close(adversarial.flatten(1).amax(1), torch.full((64,), 0.8))


def test_fault_of_1000_classes_hard_coded_ten_classes_crash() -> None:
    for classes in (2, 10, 1000):
        images, labels = batch(8, classes=min(classes, 8))
        assert PGD(steps=1, targeted="random")(TinyNet(classes), images, labels).shape == images.shape


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
