"""Shell completion: bash gets words that can stand on the command line, and nothing else."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
source <("$PYTHON" -m advprop --tyro-print-completion bash)
COMP_WORDS=(advprop "$@")
COMP_CWORD=$#
COMP_LINE="advprop $*"
COMP_POINT=${#COMP_LINE}
_tyro_advprop
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("tr",), {"train"}),
        (("train", "--met"), {"--method"}),
        (("train", "--method", "f"), {"fast", "fine-grained"}),
        (("evaluate", "--sev"), {"--severities"}),
    ],
)
def test_bash_completes_commands_options_and_values(words: tuple[str, ...], expected: set[str]) -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    told = subprocess.run(
        ["bash", "-c", SCRIPT, "bash", *words], env=environment, capture_output=True, text=True, check=True
    )
    assert set(told.stdout.split("\n")[:-1]) == expected


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "export", "plot", "models", "verify"])
def test_every_option_is_a_word(command: str) -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    told = subprocess.run(
        ["bash", "-c", SCRIPT, "bash", command, "-"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    options = told.stdout.split("\n")[:-1]
    assert "--help" in options
    assert [option for option in options if not option.startswith("-") or " " in option] == []
