"""What a run may be resumed with others of, and what it must find again."""

import shutil
from pathlib import Path

import pytest
import torch

from advprop import train
from advprop.cli.main import main
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run, differences
from advprop.training.loop import Loop

SMALL = make_recipe(train_images=40, batch_size=10, epochs=4, severities=(), test_every=4)


def photos(folder, **changes):
    settings = {"channels": 1, "image_size": 10, "crop_pct": 0.9, "workers": 0, "scale": None, "threads": 1}
    method = {"method": "standard", "model": "advprop_convnet", "batch_size": 20, "epochs": 2, "lr": 0.01}
    return make_recipe(settings, method, data=str(folder), **changes)


def killed(recipe, out, step):
    """A run that ends after a step without a word."""
    advance = Loop.advance

    def until(loop, images, labels):
        if loop.step == step:
            raise MemoryError
        advance(loop, images, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "advance", until)
        with pytest.raises(MemoryError):
            train(recipe, out)


@pytest.fixture
def moved(digit_folders, tmp_path, monkeypatch):
    """A run that was killed in its second epoch, and its data, in another place now."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(digit_folders, "photos")
    killed(photos("photos"), "run", 14)
    (tmp_path / "other disk").mkdir()
    return shutil.move("photos", tmp_path / "other disk" / "pictures")


def test_the_number_of_checkpoints_to_keep_may_be_another(tmp_path):
    killed(SMALL, tmp_path / "run", 5)
    run = train(make_recipe(vars(SMALL), keep=4), tmp_path / "run", resume=True).run
    assert [path.name[:13] for path in run.checkpoints.paths()] == [f"step-{n:08d}" for n in (4, 8, 12, 16)]
    assert run.recipe.keep == 4


def test_data_may_have_moved(moved, digit_folders, tmp_path, capsys):
    whole = train(photos(digit_folders), "whole").run
    assert main(["train", "--resume", "--out", "run"]) == 2
    assert "there are no data 'photos'" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", "run", "--data", str(moved)]) == 0
    weights, expected = (each.checkpoints.latest()["model"] for each in (Run(Path("run")), whole))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert Run(Path("run")).recipe.data == str(moved)
    assert main(["evaluate", "run", "--severities"]) == 0  # finds them, too


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("rename", "got 5 classes for 5, of which differ six, two"),
        ("remove", "got 4 classes for 5, of which differ two"),
        ("add", "got 201 training images for 200"),
    ],
)
def test_other_data_are_refused_and_change_nothing(change, told, moved):
    if change == "add":
        shutil.copy(moved / "train" / "two" / "0.png", moved / "train" / "two" / "more.png")
    for split in ("train", "validation"):
        if change == "rename":
            (moved / split / "two").rename(moved / split / "six")
        elif change == "remove":
            shutil.rmtree(moved / split / "two")
    before = Run(Path("run")).recipe
    with pytest.raises(ValueError, match=rf"{told} in .*pictures; say where those are \(--data\)"):
        train(photos(moved), "run", resume=True)
    assert Run(Path("run")).recipe == before


def test_a_checkpoint_of_before_images_were_counted_is_taken(moved):
    run = Run(Path("run"))
    state = run.checkpoints.latest()
    since = {"train_images", "train_fingerprint"}
    run.checkpoints.save({key: state[key] for key in state if key not in since}, state["step"])
    shutil.copy(moved / "train" / "two" / "0.png", moved / "train" / "two" / "more.png")
    train(photos(moved), "run", resume=True)
    assert run.checkpoints.latest()["train_images"] == 201


@pytest.mark.parametrize(
    ("before", "now", "is_other"),
    [
        ("photos", "/disk/photos", False),
        ("a/b", "c", False),
        ("digits", "/disk/digits", True),
        ("photos", "digits", True),
        ("torch/mnist", "torch/fashion_mnist", True),
        ("hfds/a", "photos", True),
        ("wds/a", "WDS/b", True),
        ("wds/there", "photos", False),
    ],
)
def test_data_with_a_name_are_no_place(before, now, is_other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("digits", "wds/there"):
        Path(folder).mkdir(parents=True)
    told = differences(make_recipe(vars(SMALL), data=before), make_recipe(vars(SMALL), data=now))
    assert told == (f"data: {before!r}, now {now!r}" if is_other else "")
