"""Folders that nobody can train on: one line from the command line, with the way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from advprop.cli.main import main

SMALL = ("--model", "advprop_convnet", "--image-size", "8", "--epochs", "2", "--workers", "0")
FIVE = [f"{number}.png" for number in range(5)]
FOLDERS: dict[str, tuple[list[str], str]] = {
    "one class": (
        [f"a/{name}" for name in FIVE],
        r"got 1 \(a\) in --data .*; add a folder for each other class",
    ),
    "a folder too far up": (
        [f"pictures/{label}/{name}" for label in "ab" for name in FIVE],
        r"got 1 \(pictures\) in --data .*or give the folder that has the folders of the classes$",
    ),
    "an empty class": (
        [*(f"{label}/{name}" for label in "ab" for name in FIVE), "c/"],
        r"the class .*c has no images; remove the folder, or fill it$",
    ),
    "one image in a class": (
        [*(f"{label}/{name}" for label in "ab" for name in FIVE), "c/0.png"],
        r"got 1 image in c; add some, or take the folder out$",
    ),
    "no folders": (
        FIVE,
        r"has no folder train or training; it has 0.png.*; put the images into a folder for",
    ),
    "nothing": (
        [],
        r"has no folder train or training; it has nothing; put the images into a folder for each",
    ),
    "no test images": (
        [f"train/{label}/{name}" for label in "ab" for name in FIVE],
        r"has no folder validation .*it has train; add one with a folder for each class, or give .*train ",
    ),
    "a file for a split": (
        ["train", *(f"validation/{label}/{name}" for label in "ab" for name in FIVE)],
        r"train must be a folder or a tar file, and is another file; put a folder with a folder for each",
    ),
}


def fill(folder: Path, paths: list[str]) -> None:
    """Makes folders, pictures, and files that are none."""
    folder.mkdir()
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (folder / path).mkdir()
        elif path.endswith(".png"):
            Image.new("L", (8, 8), len(path)).save(folder / path)
        else:
            (folder / path).write_text("no pictures", encoding="utf-8")


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_line_says_what_to_do(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, told = FOLDERS[kind]
    fill(tmp_path / "data", paths)
    out = tmp_path / "run"
    assert main(["train", "--data", str(tmp_path / "data"), "--out", str(out), *SMALL]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert re.search(told, line)
    assert not out.exists()


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "picture.png"
    Image.new("L", (8, 8)).save(file)
    assert main(["train", "--data", str(file), "--out", str(tmp_path / "run"), *SMALL]) == 2
    assert re.search(r"and is a file; give the folder that has a folder of images", capsys.readouterr().err)


def test_nested_folders_are_of_the_class_at_their_top(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(
        tmp_path / "data",
        [f"{label}/deep/{place}/{name}" for label in "ab" for place in "xy" for name in FIVE],
    )
    assert main(["train", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *SMALL]) == 0
    assert "of its 20 images are for testing" in capsys.readouterr().err
