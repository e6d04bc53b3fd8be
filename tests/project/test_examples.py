"""Every public name has a runnable example in its docstring, and it runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import advprop

MODULES = sorted(
    name for _, name, _ in pkgutil.walk_packages(advprop.__path__, "advprop.") if name[-2:] != "__"
)


@pytest.mark.parametrize("name", advprop.__all__)
def test_public_name_is_documented(name: str) -> None:
    thing = getattr(advprop, name)
    if not callable(thing):  # a constant, described in its module
        return
    assert thing.__doc__, f"advprop.{name} has no docstring"
    assert ">>> " in thing.__doc__, f"advprop.{name} has no example in its docstring"


def test_fault_of_a_library_that_does_not_start(tmp_path: Path) -> None:
    """A process of its own imports every module, far from the checkout, and nothing happens."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    command = [sys.executable, "-c", code, *MODULES]
    started = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module: types.ModuleType = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
