"""What is known before the first step: whether images fit the model, how much room checkpoints take."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from advprop import train
from advprop.evaluation.accuracy import Accuracy
from advprop.models import create_model
from advprop.recipes.recipe import make_recipe
from advprop.runs import checkpoints as checkpoint
from advprop.runs.checkpoints import CheckpointError
from advprop.runtime import seed_all
from advprop.training.build import build_optimizer
from advprop.training.loop import Loop
from advprop.training.preflight import check_size, optimizer_bytes

SMALL = make_recipe(
    train_images=40, batch_size=20, epochs=6, severities=(), test_every=1, opt="adamw", lr=0.001
)


class Disk:
    """A disk of so many bytes for the checkpoints in a directory; it knows how full it ever was."""

    def __init__(self, directory, size, monkeypatch):
        self.directory, self.size, self.peak = directory, size, 0
        monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: SimpleNamespace(free=self.free()))
        monkeypatch.setattr(checkpoint.os, "fsync", lambda handle: self.free())

    def free(self):
        taken = sum(path.stat().st_size for path in self.directory.iterdir())
        self.peak = max(self.peak, taken)
        return self.size - taken


@pytest.fixture
def first_is_best(monkeypatch):
    """The first test finds the best accuracy, so that its checkpoint is kept beside the latest."""
    monkeypatch.setattr(Loop, "test", lambda loop: Accuracy(top1=1 / loop.step, top5=1.0, loss=1.0, n=1))


@pytest.fixture
def size(tmp_path):
    """Bytes of a checkpoint of such a run, with the state of its optimizer."""
    run = train(make_recipe(vars(SMALL), epochs=1), tmp_path / "one").run
    return max(path.stat().st_size for path in run.checkpoints.paths())


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_that_is_begun_fits_on_its_disk_and_one_that_would_not_is_refused(
    keep, size, first_is_best, tmp_path, monkeypatch
):
    recipe = make_recipe(vars(SMALL), keep=keep)
    disk = Disk(tmp_path / "run" / "checkpoints", 1.01 * (keep + 2) * size, monkeypatch)
    train(recipe, tmp_path / "run")
    assert disk.peak > 0.99 * (keep + 2) * size
    disk = Disk(tmp_path / "full" / "checkpoints", disk.peak - 1000, monkeypatch)
    monkeypatch.setattr(Loop, "advance", None)
    with pytest.raises(CheckpointError, match=r"the checkpoints in .*full.checkpoints will take"):
        train(recipe, tmp_path / "full")


def test_a_run_of_one_epoch_needs_no_room_for_more(size, first_is_best, tmp_path, monkeypatch):
    disk = Disk(tmp_path / "run" / "checkpoints", 3 * size, monkeypatch)
    run = train(make_recipe(vars(SMALL), epochs=1, keep=9), tmp_path / "run").run
    first, last = (path.stat().st_size for path in run.checkpoints.paths())
    assert disk.peak == pytest.approx(first + 2 * last, rel=1e-3)  # it is saved before its test and after
    assert disk.peak < 2.5 * size
    Disk(tmp_path / "again" / "checkpoints", first + 2.02 * last, monkeypatch)
    train(make_recipe(vars(SMALL), epochs=1, keep=9), tmp_path / "again")


@pytest.mark.parametrize("opt", ["sgd", "adamw", "rmsproptf", "lamb", "lookahead_adam"])
def test_the_state_of_an_optimizer_takes_what_was_said(opt, tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3))
    model[2].requires_grad_(False)
    recipe = make_recipe(vars(SMALL), opt=opt)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    said = optimizer_bytes(recipe, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    optimizer = build_optimizer(recipe, model)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    assert said == pytest.approx((tmp_path / "state.pt").stat().st_size, abs=128)


@pytest.mark.parametrize(
    ("opt", "told"),
    [
        ("adahessian", r"got 'adahessian', which cannot take a step \(.*\); take another \(--opt\)"),
        ("fusedsgd", "the optimizer 'fusedsgd' cannot be made: .* CUDA|APEX"),
    ],
)
def test_an_optimizer_that_cannot_work_here_is_told_before_anything_is_written(opt, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        train(make_recipe(vars(SMALL), opt=opt), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_images_that_are_too_small_for_a_model_are_told_before_anything_is_written(tmp_path):
    recipe = make_recipe(vars(SMALL), model="vit_tiny_patch16_224", norms="all")
    told = (
        r"take images of 1 x 8 x 8, got vit_tiny_patch16_224, which cannot \(.*\); take another \(--model\)"
    )
    with pytest.raises(ValueError, match=told):
        train(recipe, tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "levit_128s"])
def test_a_trial_leaves_the_model_and_the_randomness_as_they_are(name):
    settings = {"img_size": 64} if name == "test_vit" else {}
    model = create_model(name, num_classes=3, **settings)
    size = model.pretrained_cfg["input_size"][1] if not settings else 64
    before = {key: value.clone() for key, value in model.state_dict().items()}
    seed_all(0)
    expected = torch.rand(3)
    seed_all(0)
    check_size(model, name, (3, size, size))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    caches = [each.attention_bias_cache for each in model.modules() if hasattr(each, "attention_bias_cache")]
    assert not any(caches)
