"""The tasks: against slow references, and with mixup and CutMix."""

from __future__ import annotations

import copy
import gc
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.data.mixup import Mixup, mixup_target
from timm.task import ClassificationTask
from timm.utils import NativeScaler, random_seed
from torch import Tensor, nn

from advprop import (
    PGD,
    AdversarialTask,
    AdvPropTask,
    FastAdvPropTask,
    PixelModel,
    StandardTask,
    add_aux_norm,
    branch_names,
    remove_aux_norm,
    use_branch,
)
from advprop.norms.wrap import aux_norms
from tests import reference
from tests.reference import MEAN, STD, NoWait, TinyNet, batch

SETTINGS = {"eps": 4 / 255, "step_size": 2 / 255}
TOWARDS = SETTINGS | {"steps": 2, "targeted": "random"}
PIXELS = {"mean": MEAN, "std": STD}
FAST = PGD(steps=1, targeted=None, mode="train", **SETTINGS)


@pytest.fixture(autouse=True)
def seeded_numpy() -> None:
    """Mixup draws from NumPy."""
    random_seed(0)


def flip(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """An augmentation as a source of images."""
    return images.flip(3)


def advprop(model: nn.Module, **kwargs: Any) -> AdvPropTask:
    return AdvPropTask(model, PGD(**TOWARDS), **PIXELS | kwargs)


def fine_grained(model: nn.Module, **kwargs: Any) -> AdvPropTask:
    return AdvPropTask(model, {"adv": PGD(**TOWARDS), "flipped": flip}, **PIXELS | kwargs)


def adversarial(model: nn.Module, **kwargs: Any) -> AdversarialTask:
    return AdversarialTask(model, PGD(**TOWARDS), **PIXELS | kwargs)


def standard(model: nn.Module, **kwargs: Any) -> StandardTask:
    return StandardTask(model, **PIXELS | kwargs)


def fast(model: nn.Module, **kwargs: Any) -> FastAdvPropTask:
    return FastAdvPropTask(model, FAST, share=0.25, **PIXELS | kwargs)


TASKS = {f.__name__: f for f in (standard, adversarial, advprop, fine_grained, fast)}
every_task = pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)


def small_resnet(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(3)
    return timm.create_model("test_resnet", num_classes=5).to(dtype)


def tiny(dropout: float = 0.0) -> TinyNet:
    torch.manual_seed(3)
    return TinyNet(dropout=dropout)


def gradients(task: ClassificationTask) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in task.parameters()]


def train_three_steps(
    parameters: list[nn.Parameter], step: Callable[[Tensor, Tensor], None], size: int
) -> None:
    """Three optimizer steps; `step` leaves gradients in `.grad`."""
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)
    for seed in range(3):
        torch.manual_seed(seed)
        images, labels = batch(size, side=32, dtype=torch.float64)
        optimizer.zero_grad()
        step(images, labels)
        optimizer.step()


def reference_step(name: str, networks: list[nn.Module]) -> Callable[[Tensor, Tensor], None]:
    """The step of the slow reference of a task."""

    def pgd(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return reference.pgd(network, images, labels, steps=2, **SETTINGS)

    steps: dict[str, Callable[[Tensor, Tensor], None]] = {
        "standard": lambda x, y: reference.standard_step(networks[0], x, y),
        "adversarial": lambda x, y: reference.adversarial_step(networks[0], pgd, x, y),
        "advprop": lambda x, y: reference.advprop_step(networks, [pgd], x, y),
        "fine_grained": lambda x, y: reference.advprop_step(networks, [pgd, flip], x, y),
        "fast": lambda x, y: reference.fast_advprop_step(*networks, x, y, n_adv=4, **SETTINGS),
    }
    return steps[name]


@pytest.mark.parametrize("name", TASKS)
def test_three_steps_equal_those_of_the_slow_reference(name: str) -> None:
    branches = {"standard": 1, "adversarial": 1, "advprop": 2, "fine_grained": 3, "fast": 2}[name]
    size = 16 if name == "fast" else 4  # batch norms of fewer than four images let rounding grow
    networks = reference.tied_twins(small_resnet(), branches)
    train_three_steps(reference.parameters_of(networks), reference_step(name, networks), size)

    task = TASKS[name](small_resnet())
    train_three_steps(list(task.parameters()), lambda x, y: task(x, y)["loss"].backward(), size)

    plain_branches = [task.trainable_module]
    if branches > 1:
        names = branch_names(task.trainable_module)
        plain_branches = [remove_aux_norm(copy.deepcopy(task.trainable_module), keep) for keep in names]
    start = small_resnet().state_dict()
    for plain, expected in zip(plain_branches, networks, strict=True):
        state, wanted = plain.state_dict(), expected.state_dict()
        assert list(state) == list(wanted)
        for key in state:
            torch.testing.assert_close(state[key], wanted[key], rtol=1e-9, atol=1e-10, msg=key)
            assert not torch.equal(state[key], start[key]), f"{key} never moved"


# --- what a step does -----------------------------------------------------------------------------


@every_task
def test_parts_of_the_loss(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    out = task(images, labels)
    parts = {name: value for name, value in out.items() if name.startswith("loss_")}
    assert out["loss"].requires_grad
    assert not any(part.requires_grad for part in parts.values())
    if make is fast:
        weights = {"loss_clean": 0.75, "loss_noise": 0.125, "loss_adv": 0.125}
    else:
        weights = dict.fromkeys(parts, 1.0)
    assert set(weights) == set(parts)
    total = sum(weights[name] * part for name, part in parts.items())
    torch.testing.assert_close(out["loss"].detach(), total)
    clean = images[:6] if make is fast else images
    assert out["output"].shape == (len(clean), 5)


@every_task
def test_output_is_the_logits_of_the_clean_images_through_the_main_norms(
    make: Callable[..., StandardTask],
) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    task.eval()
    expected = task.trainable_module((images - MEAN) / STD)
    got = task(images, labels)["output"]
    torch.testing.assert_close(got, expected[: len(got)])


@every_task
def test_every_parameter_gets_a_gradient_and_the_inputs_stay(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    given = images.clone(), labels.clone()
    task(images, labels)["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in task.parameters())
    assert torch.equal(images, given[0])
    assert torch.equal(labels, given[1])
    assert all(module.training for module in task.modules())


def passes(model: nn.Module) -> list[tuple[str, bool, int]]:
    """A list that fills with (branch, training, images) of each pass through the first norm of a model."""
    log: list[tuple[str, bool, int]] = []
    layer = next(aux_norms(model))
    for name, norm in {"main": layer.main, **layer.aux}.items():
        norm.register_forward_hook(lambda m, x, _, name=name: log.append((name, m.training, len(x[0]))))
    return log


def test_fault_of_attacks_that_go_through_the_main_norms() -> None:
    task, (images, labels) = advprop(tiny()), batch(4)
    log = passes(task.trainable_module)
    task(images, labels)
    assert log == [("adv", False, 4), ("adv", False, 4), ("main", True, 4), ("adv", True, 4)]


def test_each_source_goes_through_its_own_branch() -> None:
    attacks = {"adv": PGD(steps=1), "far": PGD(eps=0.1, steps=1, mode="train")}
    task, (images, labels) = AdvPropTask(tiny(), attacks), batch(4)
    log = passes(task.trainable_module)
    out = task(images, labels)
    attacked = [("adv", False, 4), ("far", True, 4)]
    assert log == [*attacked, ("main", True, 4), ("adv", True, 4), ("far", True, 4)]
    assert {"loss_clean", "loss_adv", "loss_far"} < set(out)


@every_task
def test_fault_of_running_statistics_that_the_attack_moves(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    task(images, labels)["loss"].backward()
    expected = {
        "main": 1,
        "adv": 2 if make is fast else 1,
        "flipped": 1,
    }  # Fast AdvProp trains on its noise too
    for layer in aux_norms(task.trainable_module):
        for name, norm in {"main": layer.main, **layer.aux}.items():
            assert int(norm.num_batches_tracked) == expected[name]


def test_main_statistics_see_the_clean_images_only() -> None:
    clean, task = standard(tiny()), advprop(tiny())
    images, labels = batch(8)
    clean(images, labels)
    task(images, labels)
    plain = remove_aux_norm(task.trainable_module)
    for got, expected in zip(plain.buffers(), clean.trainable_module.buffers(), strict=True):
        torch.testing.assert_close(got, expected)


def test_the_first_step_of_the_control_differs_in_the_norms_alone() -> None:
    model, (images, labels) = tiny().eval(), batch(8)
    outs = []
    for task in (advprop(copy.deepcopy(model)).eval(), adversarial(copy.deepcopy(model)).eval()):
        torch.manual_seed(1)
        outs.append(task(images, labels))
    for name in ("loss", "loss_clean", "loss_adv", "output"):
        torch.testing.assert_close(outs[0][name], outs[1][name])


@every_task
def test_works_without_gradients(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    with torch.no_grad():
        out = task(images, labels)
    assert out["loss"].isfinite()
    assert not out["loss"].requires_grad


@every_task
def test_no_step_waits_for_a_gpu(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    if make in (advprop, fine_grained):
        task.sources["adv"] = replace(task.sources["adv"], check=False)
    elif make is not standard:
        task.attack = replace(task.attack, check=False)
    with NoWait():
        task(images, labels)["loss"].backward()


@every_task
def test_soft_labels_are_taken_as_they_are(make: Callable[..., StandardTask]) -> None:
    images, labels = batch(8, dtype=torch.float64)
    losses = []
    for given in (labels, F.one_hot(labels, 5).double()):
        torch.manual_seed(1)
        losses.append(make(tiny().double())(images, given)["loss"].detach())
    torch.testing.assert_close(losses[0], losses[1])


@every_task
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fault_of_no_mixed_precision_it_gives_nearly_the_gradients_of_fp32(
    make: Callable[..., StandardTask], dtype: torch.dtype
) -> None:
    images, labels = batch(8)
    flat = []
    for enabled in (False, True):
        task = make(tiny())
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype, enabled=enabled):
            loss = task(images, labels)["loss"]
        loss.backward()
        flat.append(torch.cat([p.grad.flatten() for p in task.parameters()]))
    assert F.cosine_similarity(flat[0], flat[1], dim=0) > 0.99
    assert 0.9 < float(flat[1].norm() / flat[0].norm()) < 1.1


def test_a_pass_without_gradients_under_autocast_costs_no_weight_its_gradient() -> None:
    grads = []
    for cache in (True, False):  # autocast may keep a weight that was cast where gradients were off
        task = AdvPropTask(tiny(), PGD(steps=1, targeted="least_likely", random_start=False), **PIXELS)
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=cache):
            loss = task(*batch(4))["loss"]
        loss.backward()
        grads.append(gradients(task))
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)


# --- mean and std ---------------------------------------------------------------------------------


def test_fault_of_wrong_preprocessing_the_models_own_mean_and_std_are_the_default() -> None:
    model = small_resnet(torch.float32)
    task = StandardTask(model)
    torch.testing.assert_close(task.mean.flatten(), torch.tensor(model.pretrained_cfg["mean"]))
    torch.testing.assert_close(task.std.flatten(), torch.tensor(model.pretrained_cfg["std"]))
    given = StandardTask(model, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    assert given.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    images, labels = batch(2)
    wanted = PixelModel(model.eval(), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))(images)
    torch.testing.assert_close(given(images, labels)["output"], wanted)
    assert StandardTask(tiny()).mean.item() == 0
    assert StandardTask(tiny()).std.item() == 1


def test_the_attack_is_measured_in_pixels_whatever_the_mean_and_std() -> None:
    seen: list[Tensor] = []
    task, (images, labels) = advprop(tiny(), mean=0.3, std=0.05), batch(8)
    task.trainable_module.register_forward_pre_hook(lambda _, x: seen.append(x[0] * 0.05 + 0.3))
    task(images, labels)
    clean, attacked = seen[-1].chunk(2)
    torch.testing.assert_close(clean, images)
    assert SETTINGS["eps"] * 0.9 < (attacked - images).abs().max() <= SETTINGS["eps"] + 1e-6
    assert attacked.min() >= -1e-6
    assert attacked.max() <= 1 + 1e-6


def test_mean_and_std_move_with_the_task_and_are_not_saved() -> None:
    task = standard(tiny()).double()
    assert task.mean.dtype == torch.float64
    assert not any(key.endswith(("mean", "std")) and "running" not in key for key in task.state_dict())


# --- mixup and CutMix -----------------------------------------------------------------------------

MIXES: dict[str, dict[str, Any]] = {
    "mixup": {"mixup_alpha": 1.0},
    "cutmix": {"mixup_alpha": 0.0, "cutmix_minmax": (0.4, 0.7)},
    "both, per image": {"mixup_alpha": 1.0, "cutmix_alpha": 1.0, "mode": "elem"},
}


class Recorder(nn.Module):
    """A criterion that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[Tensor] = []

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.labels.append(labels)
        return F.cross_entropy(logits, labels)


@pytest.mark.parametrize("settings", MIXES.values(), ids=MIXES)
@pytest.mark.parametrize("name", ["adversarial", "advprop", "fine_grained"])
def test_only_the_clean_part_is_mixed(name: str, settings: dict[str, Any]) -> None:
    sources: list[tuple[Tensor, Tensor]] = []

    def spy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        sources.append((images.clone(), labels.clone()))
        return images * 0.5

    attack = {"adv": spy, "other": spy} if name == "fine_grained" else spy
    make = AdversarialTask if name == "adversarial" else AdvPropTask
    random_seed(1)
    mixup = Mixup(num_classes=5, label_smoothing=0.1, **settings)
    criterion = Recorder()
    task, (images, labels) = make(tiny(), attack, mixup=mixup, criterion=criterion), batch(8)
    seen: list[Tensor] = []
    task.trainable_module.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    task(images, labels)

    random_seed(1)
    mixed, weights = Mixup(num_classes=5, label_smoothing=0.1, **settings)(images.clone(), labels)
    assert not torch.equal(mixed, images)
    assert all(torch.equal(x, images) and torch.equal(y, labels) for x, y in sources)
    clean, *attacked = seen[-1].split(8)
    torch.testing.assert_close(clean, mixed)
    assert all(torch.equal(part, images * 0.5) for part in attacked)
    unmixed = mixup_target(labels, 5, smoothing=0.1)
    for got, expected in zip(criterion.labels, [weights, *(unmixed for _ in attacked)], strict=True):
        torch.testing.assert_close(got, expected)


def test_without_mixup_labels_stay_classes() -> None:
    criterion = Recorder()
    advprop(tiny(), criterion=criterion)(*batch(4))
    assert [labels.tolist() for labels in criterion.labels] == [[0, 1, 2, 3]] * 2


def test_fault_of_mixup_targets_that_break_the_attack() -> None:
    for make in TASKS.values():
        task = make(tiny(), mixup=Mixup(num_classes=5), criterion_kwargs={"soft_targets": True})
        task(*batch(8))["loss"].backward()


# --- errors ---------------------------------------------------------------------------------------


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "a class for an attack": (lambda: AdvPropTask(tiny(), PGD), "made by an attack such as PGD(), or"),
    "a class for a source": (
        lambda: AdvPropTask(tiny(), {"adv": PGD}),
        "made by an attack such as PGD(), or",
    ),
    "a class, control": (lambda: AdversarialTask(tiny(), PGD), "such as PGD(), or by a function of (model,"),
    "a class, Fast AdvProp": (
        lambda: FastAdvPropTask(tiny(), PGD),
        "takes an attack such as PGD(steps=1,",
    ),
    "no batch norms": (
        lambda: AdvPropTask(timm.create_model("test_vit")),
        "13 LayerNorm: call add_aux_norm(model, norms='all'), before a task is made of it",
    ),
    "control with auxiliaries": (
        lambda: AdversarialTask(add_aux_norm(tiny())),
        "AdversarialTask trains one set of norms, the model has ('main', 'adv'); call remove_aux_norm",
    ),
    "standard training with auxiliaries": (
        lambda: StandardTask(add_aux_norm(tiny())),
        "StandardTask trains one set of norms, the model has ('main', 'adv'); call remove_aux_norm",
    ),
    "source without a branch": (
        lambda: AdvPropTask(add_aux_norm(tiny()), {"other": PGD()}),
        "the model has ('main', 'adv'), the sources are ('other',)",
    ),
    "branch without a source": (
        lambda: AdvPropTask(add_aux_norm(tiny(), ("adv", "aa"))),
        "every auxiliary branch needs a source of images",
    ),
    "no source": (lambda: AdvPropTask(tiny(), {}), "branches must be a sequence of names"),
    "no norms": (lambda: AdvPropTask(nn.Sequential(nn.Flatten(), nn.Linear(192, 5))), "has no norm layer"),
    "std": (lambda: StandardTask(tiny(), std=0.0), "std over 0"),
    "odd batch": (
        lambda: standard(tiny(), mixup=Mixup(num_classes=5))(*batch(3)),
        "mixup pairs clean images, so their number must be even, got 3",
    ),
    "mixup of weights": (
        lambda: advprop(tiny(), mixup=Mixup(num_classes=5))(batch(4)[0], torch.rand(4, 5)),
        "mixup makes weights out of classes [B], got labels (4, 5)",
    ),
    "normalised images": (lambda: advprop(tiny())(torch.randn(4, 3, 8, 8), batch(4)[1]), "pixels in [0, 1]"),
    "normalised images, standard": (
        lambda: standard(tiny())(torch.randn(4, 3, 8, 8), batch(4)[1]),
        "pixels in [0, 1], got values from -",
    ),
    "channels": (
        lambda: StandardTask(small_resnet())(torch.rand(2, 1, 8, 8), batch(2)[1]),
        "images have 1 channels",
    ),
}


@pytest.mark.parametrize(("cause", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_was_wrong(cause: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cause()


def test_a_grey_model_of_a_colour_configuration_has_one_mean() -> None:
    task = StandardTask(timm.create_model("test_efficientnet", in_chans=1, num_classes=5))
    assert task.mean.item() == pytest.approx((0.485 + 0.456 + 0.406) / 3)
    assert task(torch.rand(4, 1, 32, 32), torch.arange(4))["loss"].isfinite()
    given = StandardTask(timm.create_model("test_efficientnet", in_chans=1), mean=(0.2, 0.4, 0.6))
    assert given.mean.item() == pytest.approx(0.4)


def test_a_source_of_another_size_is_refused() -> None:
    task = AdvPropTask(tiny(), lambda model, images, labels: images[:3])
    with pytest.raises(ValueError, match="must add up to its size"):
        task(*batch(4))


def test_branch_in_use_before_the_step_is_in_use_after_it() -> None:
    task, (images, labels) = advprop(tiny()), batch(4)
    for parameter in next(aux_norms(task.trainable_module)).aux.parameters():
        parameter.data.uniform_()
    with use_branch(task.trainable_module, "adv"):
        task(images, labels)
        task.eval()
        logits = task.trainable_module(images)
    assert not torch.equal(task.trainable_module(images), logits)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_task
def test_every_task_on_a_gpu(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny().cuda()), batch(8)
    assert task.device.type == "cuda"
    images, labels = images.cuda(), labels.cuda()
    optimizer, scaler = torch.optim.SGD(task.parameters(), lr=0.1), NativeScaler("cuda")
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cuda", dtype):
            loss = task(images.contiguous(memory_format=torch.channels_last), labels)["loss"]
        scaler(loss, optimizer)
        assert loss.isfinite()


def test_the_model_of_pixels_is_made_once_and_follows_its_task() -> None:
    task = StandardTask(tiny(), **PIXELS)
    first = task.pixels(task.trainable_module)
    assert task.pixels(task.trainable_module) is first
    assert first not in list(task.modules())
    task.eval()
    assert not task.pixels(task.trainable_module).training
    other = task.pixels(tiny())
    assert other is not first
    moved = task.double().pixels(task.trainable_module)
    assert moved(batch(2)[0].double()).dtype == torch.float64


@pytest.mark.parametrize("make", [StandardTask, adversarial, advprop, fine_grained, FastAdvPropTask])
def test_a_step_leaves_nothing_to_the_garbage_collector(make: Callable[..., StandardTask]) -> None:
    """Weights that an attack folds would else wait for it, a copy of the model's."""

    def alive() -> int:
        tensors = [each for each in gc.get_objects() if type(each) in (Tensor, nn.Parameter)]
        return sum(each.numel() * each.element_size() for each in tensors)

    task, (images, labels) = make(tiny()).train(), batch(10)
    task(images, labels)["loss"].backward()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        task(images, labels)["loss"].backward()
        assert alive() == before
    finally:
        gc.enable()
