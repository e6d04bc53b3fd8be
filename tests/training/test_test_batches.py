"""How many images are tested at once, and that no result depends on it."""

import shutil
from pathlib import Path

import pytest
import torch

from advprop.cli.main import main
from advprop.evaluation.evaluator import evaluate_corruptions
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import differences
from advprop.runtime import World
from advprop.training.loop import Loop
from advprop.training.parts import images_per_test

CPU = World(torch.device("cpu"))
PHOTO = (3, 224, 224)


@pytest.mark.parametrize(
    ("settings", "ranks", "shape", "count"),
    [
        ({"batch_size": 4}, 1, PHOTO, 4),
        ({"batch_size": 256}, 1, PHOTO, 256),
        ({"batch_size": 256}, 8, PHOTO, 32),
        ({"batch_size": 256, "accumulate": 4}, 2, PHOTO, 32),
        ({"batch_size": 4096}, 1, PHOTO, 500),
        ({"batch_size": 4}, 1, (3, 160, 160), 4),
        ({"batch_size": 4}, 1, (3, 500, 500), 4),
        ({"batch_size": 4}, 8, (3, 500, 500), 1),  # evaluated on more ranks than it was trained on
        ({"batch_size": 4}, 1, (3, 32, 32), 49),  # as many pixels as one photo
        ({"batch_size": 4}, 1, (1, 8, 8), 500),
        ({"batch_size": 4, "test_batch_size": 9}, 4, PHOTO, 9),
        ({"batch_size": 4, "test_batch_size": 9000}, 1, PHOTO, 9000),
    ],
)
def test_tests_take_as_many_images_as_the_training(settings, ranks, shape, count):
    recipe = make_recipe(data="photos", **settings)
    assert images_per_test(recipe, ranks, shape) == count


@pytest.fixture(scope="module")
def results():
    """What loops find that differ in nothing but the number of images that they test at once."""
    found = {}
    for size in (7, 100, None):
        loop = Loop(make_recipe(train_images=1600, batch_size=20, test_batch_size=size), CPU)
        corrupted = evaluate_corruptions(loop.model(), loop.test_batches, ("frost", "shot_noise"), 3)
        found[size] = loop.test(), *(row[3] for row in corrupted.values())
    return found


def test_results_are_the_same_but_for_rounding(results):
    for size in (7, 100):
        for ours, theirs in zip(results[size], results[None], strict=True):
            assert (ours.n, ours.top1, ours.top5) == (theirs.n, theirs.top1, theirs.top5)
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


@pytest.mark.parametrize("method", ["advprop", "fine-grained", "fast"])
def test_a_recipe_of_before_leaves_it_open_and_another_one_is_no_other_run(method):
    old = make_recipe(Path("tests/runs/made_by_0_1_0", method, "recipe.yaml").resolve())
    assert old.test_batch_size is None
    assert differences(old, make_recipe(vars(old), test_batch_size=3)) == ""


def test_evaluate_takes_another_number(folder_run, digit_folders, tmp_path, monkeypatch, capsys):
    run, seen = str(shutil.copytree(folder_run.run.directory, tmp_path / "run")), []
    forward = torch.nn.Linear.forward
    monkeypatch.setattr(
        torch.nn.Linear, "forward", lambda layer, x: (seen.append(len(x)), forward(layer, x))[1]
    )
    shown = []
    for words in ([], ["--test-batch-size", "11"], ["--data", str(digit_folders), "--test-batch-size", "12"]):
        seen.clear()
        assert main(["evaluate", run, "--severities", *words]) == 0
        shown.append(capsys.readouterr().out.partition("test images are wrong")[0])  # files are of the run
        assert max(seen) == int(words[-1] if words else 500)
    assert shown[0] == shown[1] == shown[2]
    assert main(["evaluate", run, "--test-batch-size", "0"]) == 2
    assert "--test-batch-size must be 1 or more, got 0" in capsys.readouterr().err
