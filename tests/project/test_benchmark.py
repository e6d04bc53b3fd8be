import json
from copy import deepcopy

import pytest
import torch

from advprop import make_recipe
from advprop.data.batches import Batches
from advprop.runtime import World
from advprop.training.loop import Loop
from scripts import benchmark

SMALL = ["--model", "test_resnet", "--image-size", "32", "--batch-size", "10", "--precision", "fp32"]
QUICK = [*SMALL, "--device", "cpu", "--rounds", "2", "--steps", "1"]


def test_each_method_is_measured_beside_timms_way_and_kept(tmp_path, capsys):
    record = tmp_path / "there" / "benchmark.json"
    for _ in range(2):
        assert benchmark.main([*QUICK, "--record", str(record)]) == 0
    assert benchmark.main([*QUICK, "--channels-last", "--methods", "fast", "--record", str(record)]) == 0
    first, second = json.loads(record.read_text())  # the second run has taken the place of the first
    speeds = first["images_per_second"]
    assert list(speeds) == ["timm", *benchmark.METHODS]
    assert all(len(each) == 2 and min(each) > 0 for each in speeds.values())
    assert (first["model"], first["batch_size"], first["channels_last"]) == ("test_resnet", 10, False)
    assert second["channels_last"]
    assert list(second["images_per_second"]) == ["timm", "fast"]
    assert "advprop-5" in (told := capsys.readouterr().out)
    assert "timm = 1" in told


def test_shares_are_taken_round_by_round():
    measured = {"images_per_second": {"timm": [100.0, 50.0, 10.0], "standard": [90.0, 50.0, 8.0]}}
    assert benchmark.share_of_timm(measured, "standard") == pytest.approx((0.9, 0.8, 1.0))


def test_timms_step_and_ours_train_alike(monkeypatch):
    """Speeds are compared of steps that do the same: equal weights after some of them."""
    asked = {"model": "test_resnet", "image_size": 32, "batch_size": 10, "precision": "fp32"}
    recipe = make_recipe(asked, benchmark.SHARED, method="standard", lr=0.5, warmup_lr=0.1)
    world = World(torch.device("cpu"))
    data = benchmark.random_data(recipe, world.device)
    ours = Loop(recipe, world, data)
    theirs = deepcopy(ours.task.trainable_module)
    monkeypatch.setattr(benchmark, "build_model", lambda *_: theirs)
    step = benchmark.timms_step(recipe, world, data)
    before = next(theirs.parameters()).clone()
    for images, labels in Batches(data.train, recipe.batch_size):
        ours.advance(images, labels)
        step(images, labels)
    trained = ours.task.trainable_module.state_dict()
    for (name, mine), other in zip(trained.items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)
    assert (before - next(theirs.parameters())).abs().max() > 1e-3


def test_a_model_that_timm_does_not_have_is_an_error_of_one_line(capsys, tmp_path):
    record = tmp_path / "record.json"
    status = benchmark.main(["--model", "resnet5000", "--device", "cpu", "--record", str(record)])
    assert status == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not record.exists()
