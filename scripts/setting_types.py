"""Write `advprop/recipes/options.py`: the settings of a recipe as editors see them in `make_recipe(...)`.

`make format` runs it; a test compares.
"""

import ast
from pathlib import Path

SETTINGS = Path("advprop/recipes/settings.py")
OPTIONS = Path("advprop/recipes/options.py")

_HEAD = '''\
"""The settings of a recipe by name, for type checkers and editors; `make format` writes this file."""

from collections.abc import Mapping
from typing import Literal, TypedDict

from advprop.recipes.settings import Method, Precision, Target


class Options(TypedDict, total=False):
    """What `make_recipe` takes by name; a number of pixels may be a text such as `"4/255"`."""

'''


def options(source: str) -> str:
    """The file, from that of the settings."""
    lines = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
            fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            lines += [
                f"    {ast.unparse(each.target)}: {_wider(ast.unparse(each.annotation))}" for each in fields
            ]
    return _HEAD + "\n".join(lines) + "\n"


def _wider(annotation: str) -> str:
    """The type of what is taken for a setting: a fraction as text, too, and any mapping."""
    wider = annotation.replace("Pixels", "float | str").replace("dict[", "Mapping[")
    return wider.replace("'", '"')


if __name__ == "__main__":
    OPTIONS.write_text(options(SETTINGS.read_text(encoding="utf-8")), encoding="utf-8")
