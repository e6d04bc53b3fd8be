import json

import pytest

from advprop import make_recipe, train
from advprop.cli.main import main

QUICK = {"data": "digits", "train_images": 60, "batch_size": 20, "epochs": 3, "steps": 1, "severities": ()}


def test_a_trace_has_the_steps_asked_for_and_the_run_is_as_without(tmp_path, capfd):
    recipe = make_recipe(QUICK)
    plain = train(recipe, tmp_path / "plain")
    profiled = train(recipe, tmp_path / "profiled", profile=2)
    events = json.loads((tmp_path / "profiled" / "trace.json").read_text())["traceEvents"]
    steps = {each["name"] for each in events if each["name"].startswith("ProfilerStep")}
    assert steps == {"ProfilerStep#3", "ProfilerStep#4"}
    assert any(each["name"] == "aten::convolution_backward" for each in events)
    told, warned = capfd.readouterr()
    assert "profiler_start" not in warned
    assert "Self CPU %" in told
    assert f"2 steps, in {tmp_path / 'profiled' / 'trace.json'}" in told
    assert profiled.clean == plain.clean
    assert not (tmp_path / "plain" / "trace.json").exists()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (0, "--profile takes 1 step or more, got 0; leave it out"),
        (
            7,
            "--profile 7 needs 10 steps with its warm-up, and the run has 9 left; take fewer, or",
        ),
    ],
)
def test_a_profile_that_cannot_be_is_told_before_training(steps, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(make_recipe(QUICK), tmp_path / "run", profile=steps)
    assert not (tmp_path / "run").exists()


def test_the_command_profiles(tmp_path, capsys):
    sizes = ["--train-images", "60", "--batch-size", "20", "--epochs", "2", "--severities"]
    out = tmp_path / "run"
    assert main(["train", *sizes, "--profile", "1", "--out", str(out)]) == 0
    assert (out / "trace.json").is_file()
    assert "profile" not in (out / "recipe.yaml").read_text()
    assert main(["train", *sizes, "--profile", "9", "--out", str(tmp_path / "other")]) == 2
    assert "--profile 9 needs 12 steps" in capsys.readouterr().err
