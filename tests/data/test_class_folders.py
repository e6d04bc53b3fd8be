"""The class of an image is the folder at the top, in folders and in archives alike."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advprop.data.class_folders import open_class_folders

NESTED = ("cat/day", "cat/night", "dog/day", "dog/night")


def put(root, *names):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(root / name)


def classes_and_labels(found):
    names = [Path(found.filename(number)).name for number in range(len(found))]
    return list(found.class_to_idx), dict(zip(names, found.targets.tolist(), strict=True))


@pytest.fixture
def nested(tmp_path):
    root = tmp_path / "train"
    put(root, *(f"{folder}/{folder.replace('/', '-')}.png" for folder in NESTED))
    return root


EXPECTED = (["cat", "dog"], {"cat-day.png": 0, "cat-night.png": 0, "dog-day.png": 1, "dog-night.png": 1})


def test_folders_below_a_class_are_no_classes(nested):
    assert classes_and_labels(open_class_folders(nested, True)) == EXPECTED


@pytest.mark.parametrize("arcname", [".", "train", "photos/train"])
def test_a_tar_of_the_folder_has_its_classes(nested, tmp_path, arcname):
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(nested, arcname=arcname)
    found = open_class_folders(tmp_path / "train.tar", True)
    assert classes_and_labels(found) == EXPECTED
    with found[3][0] as file:
        assert Image.open(file).getpixel((0, 0)) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_a_tar_for_each_class_is_a_class(nested, tmp_path, packed):
    folder = tmp_path / "tars"
    folder.mkdir()
    for name in ("cat", "dog"):
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            archive.add(nested / name, arcname=".")
    path = folder
    if packed:
        path = tmp_path / "train.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(folder, arcname=".")
    assert classes_and_labels(open_class_folders(path, True)) == EXPECTED


def test_images_in_no_class_folder_are_told_and_left_out(tmp_path, caplog):
    put(tmp_path / "data", "cat/1.png", "dog/2.png", "3.png", "__MACOSX/cat/1.png")
    with tarfile.open(tmp_path / "train.tar", "w") as archive:
        archive.add(tmp_path / "data", arcname="data")
    for path in (tmp_path / "data", tmp_path / "train.tar"):
        caplog.clear()
        assert list(open_class_folders(path, True).class_to_idx) == ["cat", "dog"]
        assert "1 image in no class folder (" in caplog.text
        assert "1 __MACOSX" in caplog.text


def test_a_class_without_images_is_refused_in_training_alone(tmp_path):
    put(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "list.txt").write_text("none")
    with pytest.raises(ValueError, match=r"the class .*ant has no images; remove the folder, or fill it"):
        open_class_folders(tmp_path, True)
    assert list(open_class_folders(tmp_path, False).class_to_idx) == ["cat", "dog"]


def test_two_spellings_of_an_accent_are_one_class(tmp_path):
    put(tmp_path, "caf\u00e9/1.png", "cafe\u0301/2.png", "zoo/3.png")
    assert classes_and_labels(open_class_folders(tmp_path, True)) == (
        ["caf\u00e9", "zoo"],
        {"1.png": 0, "2.png": 0, "3.png": 1},
    )


@pytest.mark.slow
@pytest.mark.nightly
def test_every_process_numbers_classes_alike(tmp_path):
    put(tmp_path, *(f"{name}/1.png" for name in ("A", "a", "B", "b", "1", "01", "a10", "a010")))
    program = (
        "import sys; from pathlib import Path\n"
        "from advprop.data.class_folders import open_class_folders\n"
        "print(list(open_class_folders(Path(sys.argv[1]), True).class_to_idx))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program, tmp_path],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {"['01', '1', 'A', 'a', 'a010', 'a10', 'B', 'b']\n"}
