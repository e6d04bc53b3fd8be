"""Settings of long runs on large models: each acts as timm's own, and a run keeps to it to its end."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from timm.data.mixup import mixup_target
from timm.loss import BinaryCrossEntropy
from timm.optim import create_optimizer_v2

from advprop import load_run, train
from advprop.cli.main import main
from advprop.inference.load import load_model, trained
from advprop.recipes.recipe import make_recipe
from advprop.runtime import World
from advprop.training.loop import Loop
from tests.training.records import equal

ARGUMENTS = {"stem_width": 8, "act_layer": "silu", "global_pool": "max"}
CPU = World(torch.device("cpu"))
SMALL = make_recipe(
    data="digits",
    model="test_resnet",
    channels=3,
    image_size=32,
    train_images=40,
    batch_size=20,
    epochs=1,
    workers=0,
    warmup_epochs=0,
    steps=1,
    lr=0.01,
    severities=(),
)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A folder of few pictures, so that tests take no time."""
    folder = tmp_path_factory.mktemp("few")
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (48, 32, 32, 3), np.uint8)):
        place = folder / ("train" if number < 32 else "validation") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return str(folder)


def loop(**changes):
    return Loop(make_recipe(vars(SMALL), **changes), CPU)


@pytest.mark.parametrize("method", ["standard", "advprop", "adversarial", "fast"])
@pytest.mark.parametrize(("mixup", "thresh"), [(0.0, None), (0.8, None), (0.8, 0.2)])
def test_binary_cross_entropy_is_timms_in_every_task(method, mixup, thresh, monkeypatch):
    smoothed = {"loss": "bce", "mixup": mixup, "bce_target_thresh": thresh, "label_smoothing": 0.1}
    made = loop(method=method, target="none", **smoothed)
    criterion, seen = made.task.criterion, []
    assert isinstance(criterion, BinaryCrossEntropy)
    forward = criterion.forward
    monkeypatch.setattr(
        criterion, "forward", lambda *each: seen.append([x.detach() for x in each]) or forward(*each)
    )
    found = made.task(*next(made.train_batches.epoch(0)))
    monkeypatch.undo()
    losses = []
    for logits, target in seen:
        losses.append(float(criterion(logits, target)))
        weights = target if mixup else mixup_target(target, 10, smoothing=0.1)
        weights = weights if thresh is None else (weights > thresh).float()
        assert losses[-1] == pytest.approx(float(F.binary_cross_entropy_with_logits(logits, weights)))
    assert len(seen) == {"standard": 1, "fast": 3}.get(method, 2)
    if method != "fast":
        assert float(found["loss"].detach()) == pytest.approx(sum(losses), rel=1e-5)


def test_layers_have_the_rates_of_timm_with_auxiliary_norms_too():
    made = loop(layer_decay=0.5, opt="adamw")
    theirs = create_optimizer_v2(
        made.task.trainable_module, "adamw", lr=made.recipe.scaled_lr, weight_decay=1e-4, layer_decay=0.5
    )
    made.schedule.step_update(0)
    scales = [group["lr_scale"] for group in made.optimizer.param_groups]
    assert scales == [group["lr_scale"] for group in theirs.param_groups]
    assert len(set(scales)) > 5
    assert made.lr == made.recipe.scaled_lr  # that of the last layers
    rate = {id(p): group["lr"] for group in made.optimizer.param_groups for p in group["params"]}
    for norm in (made.task.trainable_module.layer1[0].bn1, made.task.trainable_module.bn1):
        assert rate[id(norm.aux["adv"].weight)] == rate[id(norm.main.weight)] < made.lr
    with pytest.raises(ValueError, match="the optimizer 'sgd' cannot be made"):
        loop(opt="sgd", opt_args={"layer_decay": 0.5, "no_such": 1})


def test_milestones_are_epochs():
    made = loop(sched="multistep", decay_milestones=(3, 5), epochs=6, warmup_epochs=0)
    rates = []
    for step in range(made.total_steps):
        made.schedule.step_update(step)
        rates.append(made.lr / made.recipe.scaled_lr)
    assert rates == pytest.approx([1] * 5 + [0.1] * 4 + [0.01] * 3)  # timm decays a step early


def test_arguments_of_the_model_are_kept_to_the_end(few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {"data": few, "batch_size": 16}
    recipe = make_recipe(
        vars(SMALL), **small, model_args={"stem_width": 8, "act_layer": "silu", "global_pool": "max"}
    )
    train(recipe, "run")
    train(make_recipe("run/recipe.yaml"), "run", resume=True)
    model = load_run("run")
    assert type(model.act1).__name__ == "SiLU"
    assert model.global_pool.pool_type == "max"
    with trained("run", "cpu") as (pixels, batches):
        images, _ = next(iter(batches))
        expected = pixels.eval()(images).detach()
    assert main(["export", "run", "--out", "exported"]) == 0
    again = load_model("exported")
    assert type(again.act1).__name__ == "SiLU"
    mean, std = (torch.tensor(model.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    torch.testing.assert_close(again((images - mean) / std), expected)
    assert main(["evaluate", "run"]) == 0
    capsys.readouterr()
    words = ["--model-args", "stem_width", "16"]
    assert main(["train", "--resume", "--out", "run", *words]) == 2
    assert "has another recipe (model_args: {" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_args": {"no_such": 1}},
            r"arguments \{'no_such': 1\}.*'no_such'.* or other arguments \(--model-args\)",
        ),
        ({"model_args": {"features_only": True}}, "output in training must be|must take images"),
        ({"model": "advprop_convnet", "grad_checkpointing": True}, "ConvNet has no gradient checkpointing"),
        ({"method": "adversarial", "separate_passes": True}, "is for advprop and fine-grained, got"),
        ({"aug_repeats": 3, "train_images": 300, "batch_size": 300}, "got 300 for 256"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message) as told:
        train(make_recipe(vars(SMALL), **changes), tmp_path / "run")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("method", ["advprop", "fine-grained"])
def test_a_run_may_be_resumed_with_separate_passes(method, few, tmp_path):
    recipe = make_recipe(vars(SMALL), data=few, batch_size=8, epochs=2, method=method)
    straight = train(recipe, tmp_path / "run").run
    directory = shutil.copytree(straight.directory, tmp_path / "again")
    (directory / "checkpoints" / straight.checkpoints.paths()[-1].name).unlink()  # the second epoch
    run = train(make_recipe(vars(recipe), separate_passes=True), directory, resume=True).run
    assert run.recipe.separate_passes
    models = [each.checkpoints.latest()["model"] for each in (run, straight)]
    for name, value in models[0].items():
        torch.testing.assert_close(value, models[1][name], rtol=1e-3, atol=1e-4)


def test_a_run_may_be_resumed_with_checkpointing_and_ends_alike(few, tmp_path, monkeypatch):
    recipe = make_recipe(vars(SMALL), data=few, batch_size=8, epochs=2)
    straight = train(recipe, tmp_path / "run").run
    directory = shutil.copytree(straight.directory, tmp_path / "again")
    (directory / "checkpoints" / straight.checkpoints.paths()[-1].name).unlink()  # the second epoch
    run = train(make_recipe(vars(recipe), grad_checkpointing=True), directory, resume=True).run
    assert run.recipe.grad_checkpointing
    assert equal(run.checkpoints.latest(), straight.checkpoints.latest())


def test_repeats_and_loading_settings_change_a_run_as_they_say(few, tmp_path):
    small = {"data": few, "workers": 1, "batch_size": 16}
    usual = make_recipe(vars(SMALL), **small, epochs=2)
    other = make_recipe(vars(usual), prefetch_factor=3, persistent_workers=False)
    runs = [train(each, tmp_path / str(number)).run for number, each in enumerate((usual, other))]
    assert equal(*(run.checkpoints.latest() for run in runs))
    made = Loop(other, CPU)
    loader = made.data.train._loader.loader.loader
    assert (loader.prefetch_factor, loader.persistent_workers) == (3, False)
    repeated = loop(**small, aug_repeats=2)
    assert len(repeated.train_batches) == len(made.train_batches)
    assert repeated.train_batches.repeats == 2
