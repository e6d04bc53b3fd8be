"""Every public name has a runnable example in its docstring, and it runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import types

import pytest

import advprop

MODULES = sorted(
    name for _, name, _ in pkgutil.iter_modules(advprop.__path__, "advprop.") if name[-2:] != "__"
)


@pytest.mark.parametrize("name", advprop.__all__)
def test_public_name_is_documented(name: str) -> None:
    thing = getattr(advprop, name)
    if not callable(thing):  # a constant, described in its module
        return
    assert thing.__doc__, f"advprop.{name} has no docstring"
    assert ">>> " in thing.__doc__, f"advprop.{name} has no example in its docstring"


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module: types.ModuleType = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
