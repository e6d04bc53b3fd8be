"""Write `advprop/recipes/options.py`: the settings of a recipe as editors see them in `make_recipe(...)`.

`make format` runs it; a test compares.
"""

import ast
import re
from pathlib import Path

SETTINGS = Path("advprop/recipes/settings.py")
OPTIONS = Path("advprop/recipes/options.py")

_FILE = '''\
"""The settings of a recipe by name, for type checkers and editors; `make format` writes this file."""

from collections.abc import Mapping
from typing import {typing}

from advprop.recipes.settings import {aliases}


class Options(TypedDict, total=False):
    """What `make_recipe` takes by name; a number of pixels may be a text such as `"4/255"`."""

{lines}
'''


def options(source: str) -> str:
    """The file, from that of the settings."""
    body = ast.parse(source).body
    groups = [each for each in body if isinstance(each, ast.ClassDef) and each.name.endswith("Settings")]
    fields = [each for group in groups for each in group.body if isinstance(each, ast.AnnAssign)]
    types = {ast.unparse(each.target): _wider(ast.unparse(each.annotation)) for each in fields}
    used = set(re.findall(r"\w+", " ".join(types.values())))
    aliases = {ast.unparse(each.target) for each in body if isinstance(each, ast.AnnAssign)}
    return _FILE.format(
        typing=", ".join(sorted((used & {"Any", "Literal"}) | {"TypedDict"})),
        aliases=", ".join(sorted(used & aliases)),
        lines="\n".join(f"    {name}: {kind}" for name, kind in types.items()),
    )


def _wider(annotation: str) -> str:
    """The type of what is taken for a setting: a fraction as text, too, and any mapping."""
    wider = annotation.replace("Pixels", "float | str").replace("dict[", "Mapping[")
    return wider.replace("'", '"')


if __name__ == "__main__":
    OPTIONS.write_text(options(SETTINGS.read_text(encoding="utf-8")), encoding="utf-8")
