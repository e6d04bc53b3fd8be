"""A folder of class folders alone is divided; who is on which side follows from the seed and the path."""

import json
import re
import shutil

import numpy as np
import pytest

from advprop import load_run, train
from advprop.cli.main import main
from advprop.data.division import divide
from advprop.inference.load import trained
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run

FILES = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(300)]


def test_added_files_move_no_others_and_another_seed_divides_otherwise():
    found = divide(FILES, 0.2, seed=0)
    assert sorted((*found.train, *found.test)) == sorted(FILES)
    for name in ("cat", "dog"):
        assert sum(file.startswith(name) for file in found.test) == pytest.approx(60, abs=20)
    more = divide(
        [*FILES, *(f"cat/new{number}.png" for number in range(100)), "ant/1.png", "ant/2.png"], 0.2, seed=0
    )
    assert set(found.test) <= set(more.test)
    assert set(found.train) <= set(more.train)
    assert set(divide(FILES, 0.2, seed=1).test) != set(found.test)
    assert set(found.test) < set(divide(FILES, 0.5, seed=0).test)


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_every_class_is_on_both_sides(share):
    found = divide(["a/1.png", "a/2.png", "b/1.png", "b/2.png"], share, seed=0)
    for side in (found.train, found.test):
        assert [file[0] for file in side] == ["a", "b"]
    with pytest.raises(ValueError, match="got 1 image in c; add some"):
        divide(["a/1.png", "a/2.png", "c/1.png"], share, seed=0)


@pytest.fixture
def flat(digit_folders, tmp_path):
    """The training digits, in class folders alone."""
    return shutil.copytree(digit_folders / "train", tmp_path / "pics")


SETTINGS = {
    "model": "advprop_convnet",
    "channels": 1,
    "image_size": 8,
    "epochs": 4,
    "batch_size": 20,
    "method": "standard",
    "scale": None,
    "flip": 0,
    "color_jitter": 0,
    "workers": 0,
    "device": "cpu",
    "severities": (),
    "warmup_epochs": 0,
    "lr": 0.1,
    "lr_base_size": None,
    "test_every": 4,
}


def test_a_run_keeps_to_its_images(flat, tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    outcome = train(make_recipe(SETTINGS, data=str(flat)), tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "division.json").read_text())
    assert len(kept["train"]) + len(kept["test"]) == 200
    assert outcome.clean.n == len(kept["test"]) == pytest.approx(40, abs=15)
    told = f"{flat} has no folders for splits: {outcome.clean.n} of its 200 images are for testing"
    assert f"{told} (test_share 0.2, seed 0)" in caplog.text
    for name in ("zero", "one"):
        for number in range(30):
            shutil.copy(flat / name / f"{number}.png", flat / name / f"new{number}.png")
    assert main(["evaluate", str(tmp_path / "run"), "--severities", "none", "--device", "cpu"]) == 0
    assert f"n = {outcome.clean.n})" in capsys.readouterr().out
    assert main(["train", "--resume", "--out", str(tmp_path / "run")]) == 0
    assert Run(tmp_path / "run").results()["clean"]["n"] == outcome.clean.n
    (flat / kept["test"][0]).unlink()
    assert main(["evaluate", str(tmp_path / "run"), "--severities", "none", "--device", "cpu"]) == 2
    assert re.search(
        r"the images that it began with, and 1 of \d+ are not in .*pics", capsys.readouterr().err
    )
    for text in ("{", "[]", '{"train": []}', '{"train": 1, "test": 2}'):
        (tmp_path / "run" / "division.json").write_text(text)
        assert main(["evaluate", str(tmp_path / "run"), "--device", "cpu"]) == 2
        assert "division.json must have the lists train and test" in capsys.readouterr().err
    (tmp_path / "run" / "division.json").unlink()
    with (
        pytest.raises(ValueError, match="lost the list of its test images"),
        trained(tmp_path / "run", "cpu"),
    ):
        pass
    assert load_run(tmp_path / "run").pretrained_cfg["num_classes"] == 5


def test_an_interrupted_run_goes_on_with_its_images(flat, tmp_path):
    recipe = make_recipe(SETTINGS, data=str(flat), epochs=2)
    whole = train(recipe, tmp_path / "whole")
    short = train(make_recipe(vars(recipe), epochs=1), tmp_path / "parts")
    shutil.copy(flat / "one" / "3.png", flat / "one" / "new.png")
    (short.run.directory / "recipe.yaml").write_text(recipe.to_yaml())
    again = train(recipe, tmp_path / "parts", resume=True)
    assert again.run.division() == whole.run.division()
    assert again.clean.n == whole.clean.n


def test_equal_files_on_both_sides_are_told(flat, tmp_path, caplog):
    for number in range(20):
        shutil.copy(flat / "one" / "0.png", flat / "one" / f"copy{number}.png")
    train(make_recipe(SETTINGS, data=str(flat), epochs=1), tmp_path / "run")
    [told] = [message for message in caplog.messages if "training images, too" in message]
    sides = Run(tmp_path / "run").division()
    assert told.startswith(f"{sum('copy' in each or each == 'one/0.png' for each in sides.test)} test images")
    one, other = re.search(r": (\S+) is (\S+?)(?:,|$)", told).groups()
    assert (flat / one).read_bytes() == (flat / other).read_bytes()
    assert one in sides.test
    assert other in sides.train


def test_all_images_of_such_a_folder_test_another_model(flat, folder_run, capsys):
    words = ["evaluate", str(folder_run.run.directory), "--data", str(flat), "--severities", "none"]
    assert main([*words, "--workers", "0", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "n = 200)" in shown.out
    assert "all of its 200 images are tested, also those that the model may have been trained on" in shown.err


def test_a_share_is_between_none_and_all():
    with pytest.raises(ValueError, match="test_share must be over 0 and under 1, got 1"):
        make_recipe(test_share=1)
    assert np.isclose(make_recipe().test_share, 0.2)
