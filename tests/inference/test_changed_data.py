"""A run is measured by the names of its classes, whatever became of the folders."""

import re
import shutil

import numpy as np
import pytest
import timm
from PIL import Image

from advprop import export_timm, load_run, predict, train
from advprop.cli.main import main
from advprop.evaluation.evaluator import evaluate
from advprop.inference.load import load_model, trained
from advprop.inference.target import model_and_images
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
    share, n = re.match(r"clean: ([\d.]+) % \(.*, n = (\d+)\)\n\n", shown.out).groups()
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
    assert main(["train", "--resume", "--out", str(run)]) == 2
    told = capsys.readouterr().err
    assert "got 200 training images, some with other names, labels or pixels," in told


def test_photographs_are_turned_in_training_tests_and_predictions(tmp_path):
    """Upright they tell the class; as stored all are alike."""
    exif = Image.Exif()
    for split, count in (("train", 8), ("validation", 4)):
        for orientation, name in ((1, "left"), (3, "right")):  # as it is, and upside down
            exif[0x0112] = orientation
            for number in range(count):
                place = tmp_path / "data" / split / name
                place.mkdir(parents=True, exist_ok=True)
                pixels = np.full((8, 8), 100, np.uint8)
                pixels[:, :4] = 180 + number
                Image.fromarray(pixels).save(place / f"{number}.png", exif=exif)
    settings = {"data": str(tmp_path / "data"), "model": "advprop_convnet", "channels": 1, "image_size": 8}
    settings |= {"flip": 0, "scale": None, "color_jitter": 0, "workers": 0, "epochs": 8, "batch_size": 4}
    settings |= {"method": "standard", "lr": 0.1, "lr_base_size": None, "severities": (), "warmup_epochs": 0}
    plain = train(make_recipe(settings), tmp_path / "plain")
    turned = train(make_recipe(settings, exif_orientation=True), tmp_path / "turned")
    assert (plain.clean.top1, turned.clean.top1) == (0.5, 1)
    assert measured(tmp_path / "turned").top1 == 1
    model = load_run(tmp_path / "turned")
    exported = load_model(export_timm(model, tmp_path / "exported"))
    again = timm.create_model(f"local-dir:{tmp_path / 'exported'}", pretrained=True)
    assert again.state_dict().keys() == model.state_dict().keys()  # timm alone loads it, too
    images = sorted((tmp_path / "data" / "validation").glob("*/*.png"))
    for each in (model, exported):
        assert [found.best.name for found in predict(each, images)] == [path.parent.name for path in images]
    with model_and_images(tmp_path / "exported", make_recipe(settings), device="cpu") as (found, batches):
        assert evaluate(found, batches).top1 == 1
