"""The site, scripts and tutorials import public names only: of the package's face or of a room's."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

import advprop
from docs.hooks import rooms


def private(source: str) -> list[str]:
    """What a program imports of the package that neither its face nor that of a room exports."""
    faces = {"": {*advprop.__all__, "__version__", *rooms.rooms()}}
    faces |= {f"{room}.": set(import_module(f"advprop.{room}").__all__) for room in rooms.rooms()}
    public = {f"advprop.{room}{name}" for room, names in faces.items() for name in names} | {"advprop"}
    own = {name for name in rooms.imports(source) if name.partition(".")[0] == "advprop"}
    return sorted(own - public)


def sources(root: Path) -> dict[str, str]:
    """Every program of the site, the scripts and the tutorials, by its path or its place in a notebook."""
    programs = [
        path for folder in ("docs/hooks", "scripts", "notebooks") for path in (root / folder).glob("*.py")
    ]
    found = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in programs}
    for path in (root / "notebooks").glob("*.ipynb"):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], start=1):
            if cell["cell_type"] == "code":
                code = re.sub(r"^(\s*)[%!].*", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE)
                found[f"{path.name}, cell {number}"] = code
    return found


def test_programs_import_public_names_only(root: Path) -> None:
    programs = sources(root)
    assert len(programs) > 60
    assert {place: found for place, source in programs.items() if (found := private(source))} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from advprop.cards.page import read_page", ["advprop.cards.page.read_page"]),
        ("def f():\n    import advprop.cards.page", ["advprop.cards.page"]),
        ("from advprop.norms import names_of", ["advprop.norms.names_of"]),
        ("from advprop import nothing", ["advprop.nothing"]),
        ("from advprop import PGD, models\nfrom advprop.norms import MAIN\nimport advprop, torch", []),
        ("import advprop.models", []),
    ],
)
def test_a_private_import_is_found(source: str, found: list[str]) -> None:
    assert private(source) == found
