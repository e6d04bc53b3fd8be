import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from advprop.cli.main import main
from advprop.inference.load import load_model, load_run
from advprop.runtime import optional as extras


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(folder_run, tmp_path):
    """A copy of the run, in the working directory."""
    return shutil.copytree(folder_run.run.directory, tmp_path / "run").name


def some_pictures(digit_folders):
    """Two of the pictures, one of them in a folder."""
    Path("more/deep").mkdir(parents=True)
    shutil.copy(digit_folders / "train" / "three" / "0.png", "three.png")
    shutil.copy(digit_folders / "train" / "zero" / "0.png", "more/deep/zero.png")
    return ["three.png", "more"]


@pytest.mark.parametrize("branch", ["main", "adv"])
def test_predict_shows_a_table(branch, run, digit_folders, capsys):
    pictures = some_pictures(digit_folders)
    assert main(["predict", *pictures, "--model", run, "--top", "2", "--branch", branch]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    head, *rows = [re.split("  +", line) for line in shown.out.splitlines()]
    assert head == ["image", "class", "probability, %"]
    assert [row[:2] for row in rows[::2]] == [["three.png", "three"], ["more/deep/zero.png", "zero"]]
    assert [row[0] for row in rows[1::2]] == ["", ""]
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert 100 >= float(first[2]) >= float(second[2]) >= 0


def test_an_unreadable_picture_is_named_and_the_others_are_answered(run, digit_folders, capsys):
    pictures = some_pictures(digit_folders)
    Path("more/bad.png").write_bytes(b"nothing")
    assert main(["predict", *pictures, "--model", run, "--top", "1", "--json"]) == 1
    shown = capsys.readouterr()
    assert re.fullmatch(
        "advprop: cannot read more/bad.png: its content is no image of a format that is known.*\n", shown.err
    )
    found = json.loads(shown.out)
    assert [each["image"] for each in found] == ["three.png", "more/bad.png", "more/deep/zero.png"]
    assert [[g["name"] for g in each.get("guesses", [])] for each in found] == [["three"], [], ["zero"]]
    assert found[1]["problem"].startswith("its content is no image")

    assert main(["predict", "more/bad.png", "--model", run]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1


def test_names_that_are_not_utf8_cost_no_answers(run, digit_folders):
    some_pictures(digit_folders)
    shutil.copy("three.png", Path("more", os.fsdecode(b"caf\xe9.png")))
    words = [sys.executable, "-m", "advprop", "predict", "more", "--model", run, "--top", "1"]
    for more in ([], ["--json"]):
        done = subprocess.run([*words, *more], capture_output=True, check=True)
        assert b"caf\\" in done.stdout
        assert done.stdout.count(b"zero") == 2
        assert not done.stderr


def test_links_and_leftovers_in_a_folder_to_predict(run, digit_folders, capsys):
    some_pictures(digit_folders)
    Path("more/deep/back").symlink_to("..")
    Path("more/three").symlink_to("../three.png")
    Path("more/linked").symlink_to(digit_folders / "validation" / "one")
    Path("more/x.heif.txt").write_text("none")
    assert main(["predict", "more", "--model", run, "--top", "1"]) == 0
    shown = capsys.readouterr()
    count = sum(1 for _ in (digit_folders / "validation" / "one").iterdir())
    assert len(shown.out.splitlines()) == 1 + 1 + count
    told = "2 files of other kinds (1 three, 1 .txt), 1 link to what is there already (deep/back)"
    assert shown.err == f"left out of more: {told}\n"


def test_export_writes_what_it_says(run, digit_folders, capsys):
    assert main(["export", run, "--onnx"]) == 0
    shown = capsys.readouterr().out.splitlines()
    named = [line.split("  ")[0] for line in shown[1:4]]
    assert named == [f"run/exported/{name}" for name in ("model.safetensors", "config.json", "model.onnx")]
    assert sorted(map(str, Path("run/exported").iterdir())) == sorted(named)
    assert re.search(r"logits off PyTorch's by \de-\d\d at most|by \d\.\de-\d\d at most", shown[3])

    pictures = some_pictures(digit_folders)
    words = shown[-2].removeprefix("Shell:  advprop ").replace("IMAGES", pictures[0]).split()
    assert main(words) == 0
    assert re.search(r"three.png +three", capsys.readouterr().out)


def test_export_writes_a_branch_where_it_is_told(run):
    assert main(["export", run, "--out", "other place/adv", "--branch", "adv"]) == 0
    exported, expected = load_model("other place/adv").state_dict(), load_run(run, "adv").state_dict()
    assert all(torch.equal(exported[name], tensor) for name, tensor in expected.items())
    assert main(["export", "other place/adv", "--out", "again"]) == 0
    assert (
        Path("again/model.safetensors").read_bytes() == Path("other place/adv/model.safetensors").read_bytes()
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["predict", "--model", "run"], 2, "name a picture, or a folder of pictures"),
        (["predict", "three.png"], 2, "--model"),
        (["predict", "nowhere.png", "--model", "run"], 2, "there is no image and no folder nowhere.png"),
        (["predict", "empty", "--model", "run"], 2, "the folder empty holds no images"),
        (["predict", "three.png", "--model", "run", "--top", "0"], 2, "top must be 1 or more, got 0"),
        (["predict", "three.png", "--model", "run", "--branch", "aug"], 2, "branches main, adv, got 'aug'"),
        (["predict", "three.png", "--model", "run", "--device", "abacus"], 2, "there is no device 'abacus'"),
        (["predict", "three.png", "--model", "nowhere/run"], 2, "there is no run and no exported model"),
        (["export", "nowhere/run", "--out", "x"], 2, "there is no run and no exported model nowhere/run"),
        (["export", "test_resnet"], 2, "say where test_resnet is to be written: --out FOLDER"),
        (["export", "run", "--branch", "aug"], 2, "branches main, adv, got 'aug'"),
        (["export", "run", "--out", "three.png"], 1, "File exists"),
        (["export", "run", "--onnx", "--tolerance", "0"], 1, "logits differ from PyTorch's by .*0.00e\\+00"),
    ],
)
def test_a_mistake_is_one_line(words, status, message, run, digit_folders, capsys):
    some_pictures(digit_folders)
    Path("empty").mkdir()
    assert main(words) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert re.match(f"advprop: error: .*{message}", shown.err)


def test_a_missing_extra_is_one_line(run, monkeypatch, capsys):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert main(["export", run, "--onnx"]) == 1
    assert capsys.readouterr().err.endswith('must be installed: pip install "advprop[onnx]"\n')


def test_files_may_be_read_by_others(run):
    assert main(["export", run]) == 0
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path("run/exported").iterdir()}
    Path("plain").touch()
    assert modes == {stat.S_IMODE(Path("plain").stat().st_mode)}
