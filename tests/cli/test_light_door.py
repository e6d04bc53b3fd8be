"""What answers without torch and timm: help, completion, the cards, and every mistake in the arguments."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("train", "plot", "evaluate", "predict", "export", "models", "snippet", "verify")
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "PIL",
    "sklearn",
    "scipy",
    "matplotlib",
    "safetensors",
    "huggingface_hub",
}
# What reads recipes and cards; help of the defaults and mistakes do without.
READERS = {"pydantic", "yaml", "jinja2", "tqdm"}

RUN = """
import sys
from advprop.cli.main import main

try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code or 0
print(status, *{name.partition(".")[0] for name in sys.modules})
"""


def status_and_packages(program: str, *words: str, folder: Path) -> tuple[int, set[str]]:
    """The exit status of a process, and the packages that it has loaded."""
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    status, *packages = done.stdout.splitlines()[-1].split()
    return int(status), set(packages)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["--tyro-print-completion", "bash"],
        *([command, "--help"] for command in COMMANDS),
    ],
    ids=" ".join,
)
def test_help_waits_for_nothing(words: list[str], tmp_path: Path) -> None:
    status, packages = status_and_packages(RUN, *words, folder=tmp_path)
    assert status == 0
    assert packages & (HEAVY | READERS) == set()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["trian"],
        *([command, "--nope"] for command in COMMANDS),
        ["train", "--epochs", "ten"],
        ["train", "--eps", "1/x"],
        ["train", "--method", "foo"],
        ["evaluate", "run", "--steps", "many"],
        ["predict", "image.png"],
        ["predict", "image.png", "--model", "run", "--top", "few"],
        ["export", "run", "--tolerance", "small"],
        ["snippet"],
    ],
    ids=" ".join,
)
def test_mistakes_wait_for_nothing(words: list[str], tmp_path: Path) -> None:
    status, packages = status_and_packages(RUN, *words, folder=tmp_path)
    assert status == 2
    assert packages & (HEAVY | READERS) == set()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["models"], 0),
        (["models", "tf_efficientnet_b9_ap"], 2),
        (["snippet", "predict"], 0),
        (["snippet", "predict_timm", "--model", "tf_efficientnet_b4.ap_in1k"], 0),
        (["snippet", "predict_timm", "--model", "advprop_digits.advprop"], 0),
        (["snippet", "predit"], 2),
        (["snippet", "predict", "--model", "tf_efficientnet_b9_ap"], 2),
        (["train", "--recipe", "card:tf_efficientnet_b0_ap", "--help"], 0),
        (["train", "--recipe", "none.yaml"], 2),
        (["train", "--data", "elsewhere", "--method", "fast", "--help"], 0),
        (["train", "--epochs", "0"], 2),
        (["evaluate", "nowhere"], 2),
        (["predict", "--model", "run"], 2),
        (["export", "test_resnet"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_cards_and_recipes_wait_for_neither_torch_nor_timm(
    words: list[str], status: int, tmp_path: Path
) -> None:
    found, packages = status_and_packages(RUN, *words, folder=tmp_path)
    assert found == status
    assert packages & HEAVY == set()


def test_the_package_is_light_until_a_name_is_used(tmp_path: Path) -> None:
    program = "import sys, advprop\ndir(advprop)\nprint(0, *sys.modules)"
    assert status_and_packages(program, folder=tmp_path)[1] & (HEAVY | READERS) == set()


@pytest.mark.parametrize("use", ["import advprop.models", "advprop.create_model", "advprop.list_models"])
def test_models_are_registered_with_timm_when_they_are_used(use: str, tmp_path: Path) -> None:
    program = f"""
import advprop, timm
assert not timm.is_model("advprop_digits")
{use}
print(int(timm.is_model("advprop_digits") and timm.is_model("advprop_convnet")))
"""
    assert status_and_packages(program, folder=tmp_path)[0] == 1
