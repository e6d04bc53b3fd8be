"""What type checkers and editors know of the package: its public names, and the settings of a recipe."""

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import typing
from dataclasses import fields
from pathlib import Path

import pytest

import advprop
from advprop.recipes import Recipe
from advprop.recipes.options import Options
from docs.hooks import rooms
from scripts import setting_types


def test_editors_know_the_settings_of_a_recipe(root: Path) -> None:
    source = (root / setting_types.SETTINGS).read_text(encoding="utf-8")
    written = (root / setting_types.OPTIONS).read_text(encoding="utf-8")
    assert written == setting_types.options(source), "make format"
    assert {*typing.get_type_hints(Options)} == {each.name for each in fields(Recipe)}


@pytest.mark.parametrize("module", ["advprop", *(f"advprop.{room}" for room in rooms.rooms())])
def test_a_public_name_is_no_module(module: str) -> None:
    """`import advprop.predict as m` gives a module or nothing, never a function."""
    names = importlib.import_module(module).__all__
    assert [name for name in names if importlib.util.find_spec(f"{module}.{name}")] == []


def test_importing_a_function_as_a_module_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'advprop\.predict'"):
        importlib.import_module("advprop.predict")
    assert callable(advprop.predict)


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("pyright"), reason="needs pyright: npm install --global pyright")
def test_pyright_knows_the_types_of_all_public_symbols(root: Path, tmp_path: Path) -> None:
    """Of every module, from a folder outside the checkout, as a user's type checker sees them."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    words = ["pyright", "--verifytypes", "advprop", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)["typeCompleteness"]
    unknown = [each for each in found["symbols"] if each["isTypeAmbiguous"] or not each["isTypeKnown"]]
    assert [each["name"] for each in unknown] == []
    assert found["completenessScore"] == 1.0
    files = [path.relative_to(root).with_suffix("") for path in (root / "advprop").rglob("*.py")]
    modules = {".".join(file.parts).removesuffix(".__init__") for file in files}
    assert {each["name"] for each in found["modules"]} == modules
