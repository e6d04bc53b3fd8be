"""What a run says of itself before it is well under way: what it is, how long it takes, what is faster."""

import logging
import re
import shlex

import pytest
import torch

from advprop import train
from advprop.cli.parser import parse
from advprop.recipes.recipe import make_recipe
from advprop.runtime import World
from advprop.training import estimate
from advprop.training.loop import Loop
from tests.training.records import equal, records

CPU = World(torch.device("cpu"))
SMALL = make_recipe(train_images=40, batch_size=10, epochs=3, severities=(), test_every=1)


@pytest.fixture
def few_threads(monkeypatch):
    """Two processors, of which torch uses one."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)


def photos(folder, **changes):
    recipe = {"data": str(folder), "model": "test_resnet", "image_size": 96, "batch_size": 20, "workers": 0}
    return make_recipe(recipe, epochs=6, test_every=6, **changes)


def test_timing_changes_no_bit_and_a_resumed_run_says_what_is_left(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    whole = train(SMALL, tmp_path / "whole").run
    assert not caplog.records
    shown = train(SMALL, tmp_path / "shown", progress=True).run
    assert equal(records(shown), records(whole))
    first, *_, last = [record.message for record in caplog.records]
    told = "on cpu (1 thread): 40 training and 1757 test images of 10 classes; 3 epochs will take about"
    assert re.fullmatch(rf"training advprop_convnet \(advprop\) {re.escape(told)} \d+ s", first)
    assert re.fullmatch(r"epoch 3/3: clean [\d.]+, adv [\d.]+, test [\d.]+ %, \d+ images/s", last)
    for path in shown.checkpoints.paths()[1:]:
        path.unlink()
    caplog.clear()
    train(SMALL, tmp_path / "shown", resume=True, progress=True)
    assert "; the last 1 of 3 epochs will take about" in caplog.records[0].message
    caplog.clear()
    train(SMALL, tmp_path / "shown", resume=True, progress=True)
    assert not caplog.records  # nothing is left


@pytest.mark.parametrize(
    ("method", "passes"),
    [("standard", 3), ("advprop", 6 + 9), ("adversarial", 6 + 9), ("fine-grained", 9 + 9), ("fast", 3.6)],
)
def test_the_work_of_a_step_is_counted_in_forward_passes(method, passes):
    attack = {"steps": 1, "target": "none"} if method == "fast" else {}
    loop = Loop(make_recipe(vars(SMALL), method=method, **attack), CPU)
    assert estimate.forward_passes(loop) == pytest.approx(passes)


def test_the_corruptions_are_said_to_come_after(few_threads):
    loop = Loop(make_recipe(vars(SMALL), severities=(1, 3)), CPU)
    [line] = estimate.told_before(loop, 0, 59.0)
    assert line.endswith("3 epochs will take about 59 s, then a test on 30 corruptions")


def test_what_is_faster_is_true_of_the_run(digit_folders, few_threads):
    loop = Loop(photos(digit_folders), CPU)
    ways = ["--channels-last", "--method fast", "--steps 1 (now 5)", "--image-size 64 (now 96)"]
    ways.append("--threads 2 (now 1)")
    assert estimate.faster_on_cpu(loop) == ways
    lines = estimate.told_before(loop, 0, 61.0)
    assert lines[1] == f"faster, in a new run: {', '.join(ways)}"
    assert len(estimate.told_before(loop, 0, 59.0)) == len(estimate.told_before(loop, 5, 61.0)) == 1


@pytest.mark.parametrize(
    ("changes", "ways"),
    [
        ({"method": "standard", "image_size": 64}, ["--channels-last"]),
        ({"method": "standard", "image_size": 64, "channels_last": True}, []),
        ({"method": "standard", "image_size": 32}, []),
        ({"method": "fast", "image_size": 64, "channels_last": True}, []),
        ({"steps": 1, "image_size": 64}, ["--channels-last", "--method fast"]),
        # fast could attack none of two
        ({"batch_size": 2, "image_size": 64, "channels_last": True}, ["--steps 1 (now 5)"]),
        (
            {"method": "adversarial", "steps": 3, "image_size": 160, "channels_last": True},
            [*("--method fast", "--steps 1 (now 3)", "--image-size 64 (now 160)", "--threads 2 (now 1)")],
        ),
    ],
)
def test_what_would_change_nothing_is_not_named(changes, ways, digit_folders, few_threads):
    assert estimate.faster_on_cpu(Loop(photos(digit_folders, **changes), CPU)) == ways


def test_tests_that_take_long_are_named(few_threads):
    loop = Loop(make_recipe(vars(SMALL), method="standard", epochs=40), CPU)
    assert estimate.faster_on_cpu(loop) == ["--test-every 10 (now 1)"]


def test_each_advice_can_be_followed(digit_folders, few_threads, tmp_path):
    recipe = photos(digit_folders)
    given = f"data: {digit_folders}\nmodel: test_resnet\nimage_size: 96\nbatch_size: 20\n"
    (tmp_path / "recipe.yaml").write_text(given)
    for way in estimate.faster_on_cpu(Loop(recipe, CPU)):
        words = shlex.split(way.partition(" (now")[0])
        command = parse(["train", "--recipe", str(tmp_path / "recipe.yaml"), *words])
        groups = ("data", "augment", "model", "method", "optimizer", "run")
        Loop(make_recipe(*(vars(getattr(command, group)) for group in groups)), CPU)
