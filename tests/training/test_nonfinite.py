"""Losses, gradients and weights that are no numbers."""

import math

import pytest
import torch

from advprop import train
from advprop.recipes.recipe import make_recipe
from advprop.runs.checkpoints import load
from advprop.runs.directory import Run
from advprop.training.loop import Loop
from tests.training.records import equal, of_step

SMALL = make_recipe(
    train_images=40, batch_size=10, epochs=3, severities=(), test_every=3, save_every=1, ema=0.9, seed=1
)
BAD = 7  # the third batch of the second epoch


def unwatched(monkeypatch):
    """Looks at losses as seldom as on a GPU."""
    monkeypatch.setattr(Loop, "step_is_watched", lambda loop, step: step < loop.watched_until)


def poison(monkeypatch, value=math.nan, times=math.inf):
    """Spoils the images of one step, as often as it is taken."""
    backward, spoilt = Loop.backward, []

    def spoiling(loop, images, labels):
        if loop.step + 1 == BAD and len(spoilt) < times:
            spoilt.append(loop.step)
            images = images * value
        return backward(loop, images, labels)

    monkeypatch.setattr(Loop, "backward", spoiling)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The checkpoint of just before the step that is spoilt elsewhere."""
    run = train(make_recipe(vars(SMALL), keep=20), tmp_path_factory.mktemp("runs") / "whole").run
    return of_step(run, BAD - 1)


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("method", ["advprop", "standard"])
def test_the_state_of_just_before_a_bad_step_is_kept(on_gpu, method, tmp_path, before, monkeypatch, caplog):
    recipe = make_recipe(vars(SMALL), method=method, keep=20)
    if method == "standard":
        whole = train(recipe, tmp_path / "whole").run
        before = of_step(whole, BAD - 1)
    recipe = make_recipe(vars(recipe), save_every=None)
    poison(monkeypatch)
    if on_gpu:
        unwatched(monkeypatch)
    message = (
        r"the loss is nan in step 7 \(epoch 2, batch 3\), at a learning rate of 0.03; .*kept in .*stopped"
    )
    with pytest.raises(FloatingPointError, match=message) as stop:
        train(recipe, tmp_path / "run")
    run = Run(tmp_path / "run")
    (kept,) = (run.directory / "stopped").iterdir()
    assert str(kept) in str(stop.value)
    drop = {"best", "optimizer", "losses"}  # saved in between, there losses were shared; see below
    assert equal(*({k: v for k, v in state.items() if k not in drop} for state in (load(kept), before)))
    assert equal(load(kept)["optimizer"]["state"], before["optimizer"]["state"])
    assert [path.name[:13] for path in run.checkpoints.paths()] == ["step-00000000", "step-00000004"]
    assert run.metrics()[-1]["step"] == 4
    assert ("watching each step from 5 on" in caplog.text) == on_gpu


def test_a_bad_step_that_does_not_come_again_is_taken_again(tmp_path, monkeypatch, caplog):
    recipe = make_recipe(vars(SMALL), save_every=None)
    whole = train(recipe, tmp_path / "whole")
    unwatched(monkeypatch)
    poison(monkeypatch, times=1)
    again = train(recipe, tmp_path / "run")
    assert "the loss is no number by step 8; watching each step from 5 on" in caplog.text
    assert equal(again.run.checkpoints.latest(), whole.run.checkpoints.latest())
    assert [line["step"] for line in again.run.metrics()] == [line["step"] for line in whole.run.metrics()]


def test_no_checkpoint_is_made_of_a_spoilt_model(tmp_path, monkeypatch):
    unwatched(monkeypatch)
    poison(monkeypatch)
    with pytest.raises(FloatingPointError, match="in step 7 "):
        train(make_recipe(vars(SMALL), log_every=100, keep=20), tmp_path / "run")
    for path in Run(tmp_path / "run").checkpoints.paths():
        assert all(torch.isfinite(value).all() for value in load(path)["model"].values())
    assert Run(tmp_path / "run").checkpoints.latest()["step"] == BAD - 1


def test_a_gradient_that_is_no_number_stops_before_it_is_used(tmp_path, monkeypatch, before):
    backward = Loop.backward

    def spoiling(loop, images, labels):
        parts = backward(loop, images, labels)
        if loop.step + 1 == BAD:
            next(loop.task.parameters()).grad[0] = math.inf
        return parts

    monkeypatch.setattr(Loop, "backward", spoiling)
    with pytest.raises(FloatingPointError, match=r"the gradient is inf in step 7 \(epoch 2, batch 3\)"):
        train(SMALL, tmp_path / "run")
    (kept,) = (tmp_path / "run" / "stopped").iterdir()
    assert equal(load(kept)["model"], before["model"])


def test_an_update_that_is_too_large_is_told(tmp_path):
    recipe = make_recipe(vars(SMALL), lr=1e38, warmup_epochs=0, method="standard", ema=None, opt="sgd")
    with pytest.raises(FloatingPointError, match=r"(loss|gradient|weights) (is|are) .* a learning rate of"):
        train(recipe, tmp_path / "run")
    state = Run(tmp_path / "run").checkpoints.latest()
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_the_kept_state_is_a_start_with_other_settings(tmp_path, monkeypatch):
    poison(monkeypatch)
    with pytest.raises(FloatingPointError) as stop:
        train(SMALL, tmp_path / "run")
    monkeypatch.undo()
    (kept,) = (tmp_path / "run" / "stopped").iterdir()
    words = str(stop.value).split()
    recipe = make_recipe(words[words.index("--recipe") + 1], weights=words[-1], keep=20)
    assert recipe.weights == str(kept)
    first = of_step(train(recipe, tmp_path / "other").run, 0)
    # the average of the weights is what is tested and exported, so it is what is started from
    for name, value in load(kept)["ema"].items():
        if ".aux." not in name:
            assert torch.equal(first["model"][name], value)
