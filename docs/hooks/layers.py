"""The floors of the package, drawn from its imports: what is drawn is what the code does."""

from __future__ import annotations

import ast
from functools import cache
from html import escape
from pathlib import Path

from docs.hooks.svg import drawing, element, figure, rect, text, tip

PACKAGE = Path(__file__).resolve().parents[2] / "advprop"
_WIDTH, _ROW, _LABEL, _ABREAST = 600.0, 46.0, 70.0, 5


@cache
def modules() -> dict[str, ast.Module]:
    """The parsed files of the package, by name."""
    paths = sorted(path for path in PACKAGE.glob("*.py") if path.stem != "__init__")
    return {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def imports() -> dict[str, frozenset[str]]:
    """For each file, the files of the package that it imports."""
    return {name: frozenset(_imported(tree)) & modules().keys() - {name} for name, tree in modules().items()}


def _imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "advprop":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("advprop."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("advprop.")}
    return found


@cache
def floor(name: str) -> int:
    """How high a file is: one above the highest that it imports."""
    return max((floor(below) + 1 for below in imports()[name]), default=0)


def below(name: str) -> frozenset[str]:
    """A file and all that it imports, directly or through others."""
    return frozenset({name}).union(*(below(each) for each in imports()[name]))


def floors() -> list[list[str]]:
    """The files floor by floor, from the ground."""
    top = max(map(floor, modules()))
    return [[name for name in modules() if floor(name) == height] for height in range(top + 1)]


def job(name: str) -> str:
    """The first line of a file's docstring: its one job."""
    return (ast.get_docstring(modules()[name]) or "").partition("\n")[0].rstrip(".")


def layers_picture() -> str:
    """The floors as rows of boxes, the highest on top."""
    content, y = [], 4.0
    for height, names in reversed(list(enumerate(floors()))):
        rows = [names[start : start + _ABREAST] for start in range(0, len(names), _ABREAST)]
        content.append(text(0, y + 26, f"floor {height}", anchor="start", class_="quiet"))
        for row in rows:
            room = (_WIDTH - _LABEL) / len(rows[0])
            content += [_box(name, _LABEL + place * room, y, room - 8) for place, name in enumerate(row)]
            y += _ROW
        y += 8
    picture = drawing(
        _WIDTH,
        y,
        *content,
        name="layers",
        title="The floors of the package",
        description="; ".join(f"floor {height}: {', '.join(names)}" for height, names in enumerate(floors())),
    )
    return figure(picture, "A file imports only from floors below its own. Drawn from the imports.")


def _box(name: str, x: float, y: float, width: float) -> str:
    label = text(x + width / 2, y + 25, name, class_="small" if len(name) * 8 > width else None)
    return element("g", rect(x, y, width, _ROW - 6, "box", tip(f"{job(name)}.")), label)


def layers_table() -> str:
    """Every file with its one job and what it imports, from the top floor down; a Markdown table."""
    lines = ["| Floor | File | Its one job | Imports |", "| ---: | --- | --- | --- |"]
    for height, names in reversed(list(enumerate(floors()))):
        for name in names:
            below = ", ".join(f"`{each}`" for each in sorted(imports()[name])) or "nothing"
            lines.append(f"| {height} | `{name}.py` | {escape(job(name))} | {below} |")
    return "\n".join(lines)
