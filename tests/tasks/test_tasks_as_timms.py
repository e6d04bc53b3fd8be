"""The tasks in the place of timm's `ClassificationTask`: what is evaluated, saved, loaded and compiled."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.loss import LabelSmoothingCrossEntropy
from timm.task import ClassificationTask, resume_task_checkpoint
from timm.utils import CheckpointSaver, unwrap_model
from torch import nn

from advprop import AdversarialTask, AdvPropTask, FastAdvPropTask, PixelModel, StandardTask
from tests.reference import MEAN, STD, TinyNet, batch
from tests.tasks.test_tasks import TASKS, every_task, tiny
from tests.tasks.test_tasks_in_timm import compiled

Make = Callable[..., StandardTask]


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compile_all(task: ClassificationTask) -> None:
    task.compile(backend="eager")
    task.compile_ema(backend="eager")


class Wrapper(nn.Module):
    """What a script puts around a model."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.module(x)
        return logits


# --- what is evaluated ----------------------------------------------------------------------------


@compiled
@every_task
@pytest.mark.parametrize("compiling", [False, True])
def test_the_evaluated_model_has_the_keys_that_timms_has(make: Make, compiling: bool) -> None:
    ours = make(tiny())
    timms = ClassificationTask(copy.deepcopy(ours.trainable_module), verbose=False)
    for task in (ours, timms):
        task.setup_ema()
        if compiling:
            compile_all(task)
    for ema in (False, True):
        found, expected = (task.get_eval_model(ema=ema) for task in (ours, timms))
        assert list(found.state_dict()) == list(expected.state_dict())
        assert hasattr(found, "_orig_mod") == hasattr(expected, "_orig_mod") == compiling
        expected.load_state_dict(found.state_dict())
        found.load_state_dict(expected.state_dict())


@compiled
@every_task
@pytest.mark.parametrize("compiling", [False, True])
def test_the_evaluated_model_is_the_same_object_at_each_call(make: Make, compiling: bool) -> None:
    task, (images, labels) = make(tiny()), batch(8)
    task.setup_ema()
    if compiling:
        compile_all(task)
    first = [task.get_eval_model(ema=ema) for ema in (False, True)]
    task(images, labels)["loss"].backward()
    for other in [tiny() for _ in range(4)]:
        task.get_eval_model(other)
    task.attackable()
    task.to(torch.float64)
    for model, again in zip(first, [task.get_eval_model(ema=ema) for ema in (False, True)], strict=True):
        assert again is model
        assert again.eval()(images.double()).dtype == torch.float64
        assert not task.trainable_module.training or model is first[1]
        task.train()


@every_task
def test_other_models_are_not_kept(make: Make) -> None:
    task = make(tiny())
    task.get_eval_model()
    for other in [tiny() for _ in range(5)]:
        task.get_eval_model(other)
    assert len(task._pixel_models) <= 2


def test_a_wrapper_is_evaluated_inside_of_the_pixel_model() -> None:
    task = StandardTask(tiny())
    task.trainable_module = wrapper = Wrapper(task.trainable_module)
    model = task.get_eval_model()
    assert model.model is wrapper
    assert list(model.state_dict()) == list(wrapper.state_dict())
    assert set(task.get_clip_parameters()) == set(wrapper.parameters())
    assert task.get_eval_model(model) is model


@compiled
def test_a_compiled_model_in_a_pixel_model_is_not_wrapped_twice() -> None:
    task = StandardTask(tiny())
    task.compile(backend="eager")
    model = task.get_eval_model()
    assert task.get_eval_model(model) is model


@compiled
@every_task
def test_the_compiled_average_follows_its_update(make: Make) -> None:
    task, (images, _) = make(tiny()), batch(4)
    task.setup_ema(decay=0.0)
    compile_all(task)
    with torch.no_grad():
        before = task.get_eval_model(ema=True).eval()(images)
        for parameter in task.get_trainable_module().parameters():
            parameter += 0.25
        task.update_ema(step=2)
        after, current = (task.get_eval_model(ema=ema).eval()(images) for ema in (True, False))
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, current)


# --- what is saved and loaded ---------------------------------------------------------------------


@every_task
def test_saved_by_hand_and_by_timms_saver_it_comes_back(make: Make, tmp_path: Path) -> None:
    task, fresh = make(tiny()), make(TinyNet())
    optimizer = torch.optim.SGD(task.get_trainable_module().parameters(), lr=0.1)
    task.setup_ema(decay=0.0)
    by_hand, saved = tmp_path / "by_hand.pt", tmp_path / "saved.pth.tar"
    torch.save({"model": task.get_eval_model().state_dict(), "epoch": 5, "version": 2}, by_hand)
    assert resume_task_checkpoint(fresh, str(by_hand), log_info=False) == 6
    expected = task.trainable_module.state_dict()
    assert all(
        torch.equal(value, expected[key]) for key, value in fresh.trainable_module.state_dict().items()
    )
    saver = CheckpointSaver(task.get_eval_model(), optimizer, checkpoint_dir=str(tmp_path), task=task)
    saver._save(str(saved), epoch=2)
    state = torch.load(saved, weights_only=False)
    assert list(state["state_dict"]) == list(state["state_dict_ema"]) == list(expected)
    assert not {"task_state", "task_state_ema"} & state.keys()


@compiled
@every_task
def test_a_compiled_task_loads_what_a_plain_one_saved(make: Make) -> None:
    task, fresh = make(tiny()), make(TinyNet())
    fresh.compile(backend="eager")
    fresh.load_checkpoint_state(task.get_checkpoint_state()["state_dict"])
    found = unwrap_model(fresh.get_eval_model()).state_dict()
    assert all(torch.equal(found[key], value) for key, value in task.trainable_module.state_dict().items())


def test_a_pixel_model_is_saved_as_its_model_also_inside_of_others() -> None:
    pixels = PixelModel(tiny(), MEAN, STD)
    twin = PixelModel(TinyNet(), MEAN, STD)
    assert list(pixels.state_dict()) == list(pixels.model.state_dict())
    twin.load_state_dict(pixels.model.state_dict())
    outer, other = (
        nn.Sequential(nn.Identity(), pixels),
        nn.Sequential(nn.Identity(), PixelModel(TinyNet(), 0, 1)),
    )
    assert list(outer.state_dict()) == [f"1.{key}" for key in pixels.model.state_dict()]
    other.load_state_dict(outer.state_dict())
    for model in (twin.model, other[1].model, copy.deepcopy(pixels).model):
        assert all(
            torch.equal(a, b) for a, b in zip(model.parameters(), pixels.model.parameters(), strict=True)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("classifier.bias"), "Missing key"),
        (lambda state: state.update(surplus=torch.zeros(1)), "Unexpected key"),
    ],
)
def test_keys_that_a_pixel_model_lacks_or_does_not_know_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    pixels = PixelModel(tiny(), MEAN, STD)
    change(state := pixels.state_dict())
    with pytest.raises(RuntimeError, match=message):
        pixels.load_state_dict(state)


# --- how a task is made ---------------------------------------------------------------------------


def test_a_criterion_stands_where_timms_task_has_it() -> None:
    criterion = nn.CrossEntropyLoss(label_smoothing=0.3)
    assert StandardTask(tiny(), criterion, verbose=False).criterion is criterion
    for kind in TASKS.values():
        assert kind(tiny(), criterion=criterion, verbose=False).criterion is criterion


@pytest.mark.parametrize("kind", [AdversarialTask, AdvPropTask, FastAdvPropTask])
@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(), LabelSmoothingCrossEntropy(), nn.functional.cross_entropy]
)
def test_fault_of_a_criterion_that_is_taken_for_an_attack(kind: Callable[..., Any], loss: Any) -> None:
    with pytest.raises(ValueError, match=re.escape("pass a loss as criterion=")):
        kind(tiny(), loss)
