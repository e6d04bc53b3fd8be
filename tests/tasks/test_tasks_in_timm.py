"""Everything of timm's that drives a task: EMA, checkpoints, compilation, loaders, optimizers, evaluators."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import load_task_ema_checkpoint, resume_task_checkpoint
from timm.utils import CheckpointSaver, NativeScaler, get_state_dict
from torch import nn

from advprop import (
    PGD,
    AdvPropTask,
    StandardTask,
    use_branch,
)
from tests.reference import MEAN, STD, TinyNet, batch
from tests.tasks.test_tasks import (
    PIXELS,
    SETTINGS,
    adversarial,
    every_task,
    gradients,
    standard,
    tiny,
)


@every_task
def test_ema_is_an_average_with_branches_of_its_own(make: Callable[..., StandardTask]) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    ema = task.setup_ema(decay=0.75)
    before = [p.detach().clone() for p in task.trainable_module.parameters()]
    optimizer = torch.optim.SGD(task.trainable_module.parameters(), lr=0.5)
    task(images, labels)["loss"].backward()
    optimizer.step()
    task.update_ema()
    for start, now, average in zip(before, task.trainable_module.parameters(), ema.parameters(), strict=True):
        torch.testing.assert_close(average, 0.75 * start + 0.25 * now)
    if make in (standard, adversarial):
        return
    logits = ema(images)
    with use_branch(task.trainable_module, "adv"):
        assert torch.equal(ema(images), logits)  # switching the model does not switch its average
    with use_branch(ema, "adv"):
        assert not torch.equal(ema(images), logits)


@every_task
def test_checkpoint_state_goes_round(make: Callable[..., StandardTask], tmp_path: Path) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    task.setup_ema(decay=0.5)
    optimizer = torch.optim.SGD(task.parameters(), lr=0.5)
    task(images, labels)["loss"].backward()
    optimizer.step()
    task.update_ema()
    torch.save(task.get_checkpoint_state() | task.get_checkpoint_state(ema=True), tmp_path / "state.pt")

    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = make(TinyNet(dropout=0.0))
    other.setup_ema()
    other.load_checkpoint_state(state["state_dict"])
    other.load_checkpoint_state(state["state_dict_ema"], ema=True)
    for ours, theirs in ((task, other), (task.trainable_module_ema, other.trainable_module_ema)):
        expected = ours.trainable_module.state_dict() if ours is task else ours.state_dict()
        got = theirs.trainable_module.state_dict() if theirs is other else theirs.state_dict()
        assert list(got) == list(expected)
        assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert not torch.equal(
        state["state_dict"]["classifier.weight"], state["state_dict_ema"]["classifier.weight"]
    )


@every_task
def test_gradients_of_two_batches_accumulate(make: Callable[..., StandardTask]) -> None:
    parts = [batch(8), batch(8)]
    alone = []
    for images, labels in parts:
        task = make(tiny()).eval()
        torch.manual_seed(1)
        task(images, labels)["loss"].backward()
        alone.append(gradients(task))
    task = make(tiny()).eval()
    for images, labels in parts:
        torch.manual_seed(1)
        with task.no_sync():
            task(images, labels)["loss"].backward()
    for got, first, second in zip(gradients(task), *alone, strict=True):
        torch.testing.assert_close(got, first + second)


# torch looks for .grad on the normalised images, which are no leaf; it hides its own warning about that,
# which "error" turns into an exception before it is hidden.
compiled = pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")


def compare_compiled(make: Callable[..., StandardTask], sizes: tuple[int, ...], **settings: Any) -> None:
    torch.compiler.reset()
    plain, task = make(tiny()), make(tiny())
    task.compile(fullgraph=True, **settings)
    for size in sizes:
        images, labels = batch(size)
        for each in (plain, task):
            torch.manual_seed(1)
            each(images, labels)["loss"].backward()
    for got, expected in zip(gradients(task), gradients(plain), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    expected_keys = plain.get_checkpoint_state()["state_dict"].keys()
    assert task.get_checkpoint_state()["state_dict"].keys() == expected_keys
    torch.compiler.reset()


@compiled
@every_task
def test_compiled_equals_eager_without_a_graph_break(make: Callable[..., StandardTask]) -> None:
    compare_compiled(make, (8, 8, 16), backend="eager")


@compiled
@pytest.mark.slow
@pytest.mark.nightly
def test_compiled_by_inductor_equals_eager() -> None:
    def make(_: nn.Module) -> AdvPropTask:
        torch.manual_seed(3)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5)
        return AdvPropTask(nn.Sequential(*layers), PGD(steps=1, **SETTINGS), **PIXELS)

    compare_compiled(make, (8,), backend="inductor")


class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Sixteen small pictures, the mean of each telling its class, as timm's loader wants them."""

    def __init__(self) -> None:
        self.transform: Any = None

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[Any, int]:
        colour = np.random.RandomState(index).randint(0, 50, (32, 32, 3)) + 50 * (index % 4)
        return self.transform(Image.fromarray(colour.astype(np.uint8))), index % 4


def pixels_loader(**kwargs: Any) -> Any:
    """timm's loader, giving pixels in [0, 1] on the device."""
    device = torch.device("cpu")
    return create_loader(
        Pictures(), (3, 32, 32), 8, mean=(0.0,) * 3, std=(1.0,) * 3, num_workers=0, device=device, **kwargs
    )


@every_task
def test_timms_loader_optimizer_scheduler_scaler_saver_and_evaluator_drive_a_task(
    make: Callable[..., StandardTask], tmp_path: Path
) -> None:
    task = make(tiny())
    task.setup_ema(decay=0.5)
    optimizer = create_optimizer_v2(task.get_trainable_module(), opt="sgd", lr=0.1, weight_decay=1e-4)
    scheduler, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=3, warmup_epochs=1)
    scaler = NativeScaler(device="cpu")
    saver = CheckpointSaver(
        task.get_eval_model(),
        optimizer,
        amp_scaler=scaler,
        checkpoint_dir=tmp_path,
        recovery_dir=tmp_path,
        task=task,
    )
    losses, rates = [], []
    for epoch in range(epochs):
        for images, labels in pixels_loader(is_training=True):
            assert images.min() >= 0
            assert images.max() <= 1
            loss = task(images, labels)["loss"]
            scaler(loss, optimizer, clip_grad=1.0, parameters=task.get_clip_parameters())
            optimizer.zero_grad()
            task.update_ema()
            losses.append(float(loss.detach()))
            rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch + 1)
        saver.save_checkpoint(epoch, metric=float(epoch))
    assert all(math.isfinite(loss) for loss in losses)
    assert len(set(rates)) > 1

    scores = evaluate(task, ema=False), evaluate(task, ema=True)
    assert all(0 <= score["top1"] <= 100 and math.isfinite(score["loss"]) for score in scores)
    other = make(TinyNet(dropout=0.0))
    other.setup_ema()
    resumed = create_optimizer_v2(other.get_trainable_module(), opt="sgd", lr=0.1, weight_decay=1e-4)
    assert resume_task_checkpoint(other, str(tmp_path / "last.pth.tar"), resumed, scaler) == epochs
    load_task_ema_checkpoint(other, str(tmp_path / "last.pth.tar"))
    assert (evaluate(other, ema=False), evaluate(other, ema=True)) == scores
    torch.testing.assert_close(resumed.state_dict(), optimizer.state_dict())


@compiled
@every_task
@pytest.mark.parametrize("compiling", [False, True])
def test_what_timm_evaluates_takes_pixels_and_saves_the_keys_of_the_model(
    make: Callable[..., StandardTask], compiling: bool
) -> None:
    torch.compiler.reset()
    task, (images, _) = make(tiny()), batch(8)
    plain = task.trainable_module.eval()
    task.setup_ema()
    first = task.get_eval_model()
    if compiling:
        task.compile(backend="eager")
        task.compile_ema(backend="eager")
    expected = plain((images - MEAN) / STD)
    for model in (first, task.get_eval_model(), task.get_eval_model(ema=True)):
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(images), expected)
        assert list(get_state_dict(model)) == list(plain.state_dict())
    assert make(tiny()).get_eval_model(ema=True) is None
    torch.compiler.reset()


def evaluate(task: StandardTask, ema: bool) -> dict[str, float]:
    """What timm's evaluator says of a task's model, on the images that the task trains on."""
    model = task.get_eval_model(ema=ema).eval()
    evaluator = task.create_evaluator()
    with torch.no_grad():
        for images, labels in pixels_loader():
            evaluator.update(model(images), labels)
    return dict(evaluator.compute())
