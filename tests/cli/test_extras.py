"""What a command needs beside the package is asked for before anything is written."""

import shutil
import tomllib
from pathlib import Path

import pytest

from advprop.cli.main import main
from advprop.runtime import optional

SHORT = ["--epochs", "1", "--train-images", "40", "--batch-size", "20"]
PHOTOS = ["--channels", "3", "--image-size", "32"]
SHARDS = ["--data", "wds/shards", "--train-split", "train-{0..1}.tar"]


@pytest.fixture
def bare(folder_run, tmp_path, monkeypatch):
    """A folder with a run and shards in it, where no extra is installed."""
    shutil.copytree(folder_run.run.directory, tmp_path / "run")
    (tmp_path / "shards").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["export", "run", "--onnx"], "onnx"),
        (["export", "run", "--onnx", "--out", "new"], "onnx"),
        (["plot", "run"], "plot"),
        (["train", "--log", "tensorboard", *SHORT], "tensorboard"),
        (["train", "--log", "wandb", *SHORT], "wandb"),
        (["train", "--data", "hfds/none", *SHORT], "hfds"),
        (["train", "--model", "tf_efficientnet_lite0.pypi_in1k", "--pretrained", *PHOTOS, *SHORT], "photos"),
        (["train", *SHARDS, *SHORT], "wds"),
        (["evaluate", "run", "--data", "hfds/none"], "hfds"),
        (["evaluate", "run", "--data", "wds/shards", "--test-split", "{0..1}.tar"], "wds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_nothing_is_left_behind(words: list[str], extra: str, bare: Path, capsys) -> None:
    before = sorted(bare.rglob("*"))
    assert main(words) == 1
    assert capsys.readouterr().err.endswith(f' must be installed: pip install "advprop[{extra}]"\n')
    assert sorted(bare.rglob("*")) == before


@pytest.mark.parametrize("command", ["train", "predict"])
def test_heic_is_named_before_anything_is_written(command: str, bare: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("advprop.data.image_tree.ENDINGS", (".png",))
    for place in ("train/a", "train/b", "validation/a", "validation/b"):
        (bare / "pictures" / place).mkdir(parents=True)
        (bare / "pictures" / place / "1.heic").touch()
    words = {"train": ["train", "--data", "pictures"], "predict": ["predict", "pictures", "--model", "run"]}
    before = sorted(bare.rglob("*"))
    assert main(words[command]) == 2
    assert 'HEIC needs pip install "advprop[heic]"' in capsys.readouterr().err
    assert sorted(bare.rglob("*")) == before


def test_extras_are_those_of_the_package(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert optional.EXTRAS.keys() <= settings["project"]["optional-dependencies"].keys()
