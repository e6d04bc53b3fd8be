"""A run is measured by the names of its classes, whatever became of the folders."""

import re
import shutil

import pytest

from advprop.cli.main import main
from advprop.evaluation.evaluator import evaluate
from advprop.inference.load import trained
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run


@pytest.fixture
def moved(folder_run, digit_folders, tmp_path):
    """The run and its data, copied; the run knows where they are now."""
    run = shutil.copytree(folder_run.run.directory, tmp_path / "run")
    data = shutil.copytree(digit_folders, tmp_path / "digits")
    (run / "recipe.yaml").write_text(make_recipe(vars(folder_run.recipe), data=str(data)).to_yaml())
    return run, data


def measured(run):
    with trained(run, "cpu") as (model, batches):
        return evaluate(model, batches)


def test_the_training_images_may_be_gone(moved, folder_run):
    run, data = moved
    shutil.rmtree(data / "train")
    found = measured(run)
    assert (found.top1, found.n) == (folder_run.clean.top1, folder_run.clean.n)
    assert found.loss == pytest.approx(folder_run.clean.loss, rel=1e-5)


def test_classes_without_test_images_are_told_and_the_others_counted(moved, folder_run, capsys):
    run, data = moved
    shutil.rmtree(data / "validation" / "four")  # the first in the order of names
    count = sum(1 for _ in data.glob("validation/*/*"))
    assert main(["evaluate", str(run), "--severities", "none", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "1 of 5 classes have no test images: four; accuracy is over the others" in shown.err
    share, n = re.fullmatch(r"clean: ([\d.]+) % \(.*, n = (\d+)\)\n", shown.out).groups()
    assert int(n) == count < folder_run.clean.n
    assert float(share) > 80


@pytest.mark.parametrize("change", ["renamed", "added"])
def test_a_class_that_the_run_does_not_know_is_refused_by_name(change, moved, capsys):
    run, data = moved
    known = data / "validation" / "zero"
    if change == "renamed":
        known.rename(data / "validation" / "nought")
    else:
        shutil.copytree(known, data / "validation" / "nought")
    assert main(["evaluate", str(run), "--severities", "none", "--device", "cpu"]) == 2
    assert "(four, one, three, two, zero), got 1 that are not: nought; rename" in capsys.readouterr().err


def test_training_goes_without_tests_of_a_class_and_says_so(digit_folders, tmp_path, capsys):
    data = shutil.copytree(digit_folders, tmp_path / "digits")
    shutil.rmtree(data / "validation" / "one")
    (data / "validation" / "two").rename(data / "two")
    (data / "validation" / "two").mkdir()
    words = ["train", "--data", str(data), "--out", str(tmp_path / "run"), "--model", "advprop_convnet"]
    words += ["--image-size", "8", "--channels", "1", "--workers", "0", "--epochs", "1", "--batch-size", "20"]
    words += ["--warmup-epochs", "0", "--method", "standard", "--severities", "none", "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert "2 of 5 classes have no test images: one, two; accuracy is over the others" in said
    assert Run(tmp_path / "run").results()["clean"]["n"] == sum(1 for _ in data.glob("validation/*/*"))


def test_a_resumed_run_refuses_other_images_of_the_same_number(moved, capsys):
    run, data = moved
    image = data / "train" / "one" / "0.png"
    image.rename(image.with_name("other.png"))
    assert main(["train", "--resume", "--out", str(run), "--epochs", "7"]) == 2
    told = capsys.readouterr().err
    assert "got 200 training images, some with other names, labels or pixels," in told
