"""The weights that come with the package: loaded by timm's own code, and as good as their record says."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import timm
import torch
from torchvision.transforms.functional import to_pil_image

from advprop import PixelModel, create_model, create_transform, evaluate, evaluate_corruptions, list_models
from advprop.cards.snippets import snippet
from advprop.data.batches import Batches, digits
from advprop.models import data_config
from advprop.recipes.from_card import card_settings
from advprop.recipes.recipe import make_recipe
from advprop.runs import mean_top1
from scripts import make_digits_weights

NAMES = ("advprop_digits.advprop", "advprop_digits.standard")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return json.loads(make_digits_weights.RESULTS.read_text(encoding="utf-8"))


def unseen_images(results: dict[str, Any]) -> Batches:
    """The test images of the split that the weights were trained on."""
    return Batches(digits(**results["data"]).test, batch_size=500)


def pixel_model(name: str) -> PixelModel:
    config = data_config(name)
    return PixelModel(create_model(name, pretrained=True), config["mean"], config["std"])


def test_they_are_listed() -> None:
    assert tuple(list_models("advprop_digits*", pretrained=True)) == NAMES
    assert set(NAMES) <= set(timm.list_pretrained())


@pytest.mark.parametrize("name", NAMES)
def test_plain_timm_loads_them_without_a_network(name: str) -> None:
    program = (
        "import socket, timm, advprop.models\n"
        "def refuse(*_): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = refuse\n"
        f"model = timm.create_model({name!r}, pretrained=True)\n"
        "print(model.pretrained_cfg['tag'])\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [name.partition(".")[2]]


def test_the_name_without_a_tag_is_advprop() -> None:
    pair = [create_model(name, pretrained=True).state_dict() for name in ("advprop_digits", NAMES[0])]
    assert all(torch.equal(pair[0][key], pair[1][key]) for key in pair[1])


def test_other_classes_get_a_new_head_on_the_same_features() -> None:
    images = torch.rand(2, 1, 8, 8)
    changed, model = (create_model(NAMES[0], pretrained=True, num_classes=n).eval() for n in (3, 10))
    assert changed(images).shape == (2, 3)
    assert torch.equal(changed.forward_features(images), model.forward_features(images))


def test_a_colour_image_of_a_grey_digit_gives_the_same_logits() -> None:
    images = torch.rand(2, 1, 8, 8)
    colour, grey = (create_model(NAMES[0], pretrained=True, in_chans=n).eval() for n in (3, 1))
    torch.testing.assert_close(colour(images.expand(-1, 3, -1, -1)), grey(images))


def test_pictures_are_read_rightly_through_the_transform_and_only_so(results: dict[str, Any]) -> None:
    images, labels = next(unseen_images(results).epoch(0))
    model = create_model(NAMES[0], pretrained=True).eval()
    accuracy = {}
    for name in (NAMES[0], "advprop_convnet"):  # the second does not normalise
        transform = create_transform(name)
        batch = torch.stack([transform(to_pil_image(image)) for image in images])
        accuracy[name] = (model(batch).argmax(1) == labels).float().mean().item()
    assert accuracy[NAMES[0]] > 0.97 > 0.9 > accuracy["advprop_convnet"]


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small_and_the_recorded_ones(name: str, results: dict[str, Any]) -> None:
    content = (make_digits_weights.FILES / f"{name}.safetensors").read_bytes()
    assert len(content) < 200_000
    assert hashlib.sha256(content).hexdigest() == results["models"][name]["sha256"]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_as_good_as_recorded(name: str, results: dict[str, Any]) -> None:
    recorded = results["models"][name]
    model, batches = pixel_model(name), unseen_images(results)
    clean = evaluate(model, batches)
    assert clean.n == recorded["n"]
    assert clean.top1 == pytest.approx(recorded["clean"], abs=2 / clean.n)
    table = evaluate_corruptions(model, batches, severities=(3,))
    assert mean_top1(table.values()) == pytest.approx(recorded["by_severity"]["3"], abs=0.002)


def test_advprop_is_better_with_every_seed_on_corrupted_images(results: dict[str, Any]) -> None:
    rows = sorted(results["seeds"], key=lambda row: (row["seed"], row["method"]))
    pairs = [tuple(pair) for _, pair in groupby(rows, key=lambda row: row["seed"])]
    assert [pair[0]["seed"] for pair in pairs] == list(make_digits_weights.SEEDS)
    assert min(advprop["corrupted"] - standard["corrupted"] for advprop, standard in pairs) > 0.02
    assert fmean(advprop["clean"] - standard["clean"] for advprop, standard in pairs) > 0


def test_the_record_is_of_the_recipe(results: dict[str, Any]) -> None:
    recipe = make_recipe(make_digits_weights.RECIPE)
    assert results["data"] == {"train_images": recipe.train_images, "seed": recipe.seed}
    published = {row["method"]: row for row in results["seeds"] if row["seed"] == recipe.seed}
    for method, row in published.items():
        assert row["corrupted"] == results["models"][f"{recipe.model}.{method}"]["corrupted"]


def test_the_recipe_was_chosen_on_other_seeds(results: dict[str, Any]) -> None:
    recipe = make_recipe(make_digits_weights.RECIPE)
    choice = results["choice"]
    assert not {row["seed"] for row in choice} & set(make_digits_weights.SEEDS)
    reached = {
        eps: [row["corrupted"] for row in choice if row["eps"] == eps]
        for eps in make_digits_weights.CHOICE_EPS
    }
    assert max(reached, key=lambda eps: fmean(reached[eps])) == recipe.eps


@pytest.mark.parametrize("name", NAMES)
def test_the_card_states_the_recipe(name: str) -> None:
    stated = card_settings(name) | {"model": "advprop_digits"}
    recipe = asdict(make_recipe(make_digits_weights.RECIPE, method=name.partition(".")[2]))
    left_to_the_data = {"lr_base_size", "bn_momentum", "image_size", "crop_pct", "interpolation"}
    different = {key for key, value in stated.items() if recipe[key] != value}
    assert different <= left_to_the_data
    assert {"method", "epochs", "batch_size", "lr", "momentum", "weight_decay", "opt"} <= set(
        stated
    ) - different


@pytest.mark.parametrize("name", NAMES)
def test_the_program_on_the_page_measures_what_is_recorded(
    name: str, results: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(snippet("robustness", name), {})
    recorded = results["models"][name]
    clean, corrupted = (float(found) for found in re.findall(r"([\d.]+)%", capsys.readouterr().out))
    assert clean == pytest.approx(100 * recorded["clean"], abs=0.2)
    assert corrupted == pytest.approx(100 * recorded["by_severity"]["3"], abs=0.2)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_the_command_gives_weights_as_good(name: str, results: dict[str, Any], tmp_path: Path) -> None:
    outcome = make_digits_weights.run(tmp_path, method=name.partition(".")[2])
    recorded = results["models"][name]
    assert outcome.clean.top1 == pytest.approx(recorded["clean"], abs=0.01)
    corrupted = mean_top1([{3: row[3]} for row in outcome.corrupted.values()])
    assert corrupted == pytest.approx(recorded["by_severity"]["3"], abs=0.03)
    path = tmp_path / "model.safetensors"
    make_digits_weights.save_weights(outcome, path)
    model = create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    config = data_config(name)
    again = evaluate(PixelModel(model, config["mean"], config["std"]), unseen_images(results))
    assert again.top1 == outcome.clean.top1
