"""The rooms of the package, drawn from its imports: what is drawn is what the code does."""

from __future__ import annotations

import ast
from functools import cache
from html import escape
from pathlib import Path

from docs.hooks.svg import drawing, element, figure, path, rect, text, tip

PACKAGE = Path(__file__).resolve().parents[2] / "advprop"
_WIDTH, _GAP, _LINE, _HEAD, _BETWEEN = 720.0, 16.0, 18.0, 34.0, 40.0


def imports(source: str) -> set[str]:
    """Everything that a file imports, wherever the import stands: `advprop.norms.use_branch`, `torch`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


@cache
def files() -> dict[str, str]:
    """The source of every file in a room, by its path in the package."""
    found = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.glob("*/*.py"))}
    return {name: path.read_text(encoding="utf-8") for name, path in found.items()}


def job(name: str) -> str:
    """The first line of a file's docstring: its one job."""
    return (ast.get_docstring(ast.parse(files()[name])) or "").partition("\n")[0].rstrip(".")


def rooms() -> list[str]:
    """The rooms, in the order of their names."""
    return sorted({name.partition("/")[0] for name in files()})


def inside(room: str) -> list[str]:
    """The files of a room, by their paths, without its face."""
    return [name for name in files() if name.startswith(f"{room}/") and not name.endswith("__init__.py")]


@cache
def exported(room: str) -> dict[str, str]:
    """What other rooms may use of a room, with the file that has it: the names of its `__init__.pyi`."""
    stub = PACKAGE / room / "__init__.pyi"
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body if stub.is_file() else []
    return {
        alias.name: node.module or ""
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def used(room: str) -> frozenset[str]:
    """The other rooms that a room imports from."""
    found = {
        name.split(".")[1] for each in inside(room) for name in imports(files()[each]) if "advprop." in name
    }
    return frozenset(found) - {room}


@cache
def reached(room: str) -> frozenset[str]:
    """The rooms that a room imports from, directly or through others."""
    return used(room).union(*map(reached, used(room)))


@cache
def floor(room: str) -> int:
    """How high a room is: one above the highest that it imports from."""
    return max((floor(below) + 1 for below in used(room)), default=0)


def arrows() -> list[tuple[str, str]]:
    """From each room to those that it needs, without those that it reaches through another."""
    return [
        (room, below)
        for room in rooms()
        for below in sorted(used(room))
        if not any(below in reached(other) for other in used(room))
    ]


def rooms_picture() -> str:
    """The rooms as boxes with their files inside, the highest on top, and arrows to what they need."""
    places, height = _places()
    lines = [_arrow(places[above], places[below]) for above, below in arrows()]
    boxes = [_box(room, *place) for room, place in places.items()]
    picture = drawing(
        _WIDTH,
        height,
        *lines,
        *boxes,
        name="rooms",
        title="The rooms of the package",
        description="; ".join(
            f"{room} needs {', '.join(sorted(used(room))) or 'no other'}"
            for room in sorted(places, key=floor)
        ),
    )
    caption = (
        "Every arrow runs downwards, to what a room needs. What it also reaches through another room has no "
        "arrow of its own. Drawn from the imports."
    )
    return figure(picture, caption)


def _places() -> tuple[dict[str, tuple[float, float, float, float]], float]:
    """Left, top, width and height of each room's box, and the height of the whole."""
    found, y = {}, 4.0
    for level in sorted({floor(room) for room in rooms()}, reverse=True):
        row = [room for room in rooms() if floor(room) == level]
        width = min(220.0, (_WIDTH - _GAP * (len(row) - 1)) / len(row))
        left = (_WIDTH - len(row) * width - _GAP * (len(row) - 1)) / 2
        for number, room in enumerate(row):
            height = _HEAD + _LINE * -(-len(inside(room)) // 2)
            found[room] = (left + number * (width + _GAP), y, width, height)
        y = max(top + height for _, top, _, height in found.values()) + _BETWEEN
    return found, y - _BETWEEN + 4


def _box(room: str, x: float, y: float, width: float, height: float) -> str:
    names = [Path(name).stem for name in inside(room)]
    half = -(-len(names) // 2)
    labels = [
        text(
            x + 10 + (width / 2 - 4) * (number // half),
            y + 38 + _LINE * (number % half),
            name,
            anchor="start",
            class_="small",
        )
        for number, name in enumerate(names)
    ]
    title = text(x + 10, y + 20, room, anchor="start", class_="strong")
    return element("g", rect(x, y, width, height, "box", tip(job(f"{room}/__init__.py"))), title, *labels)


def _arrow(above: tuple[float, float, float, float], below: tuple[float, float, float, float]) -> str:
    x1, y1 = above[0] + above[2] / 2, above[1] + above[3]
    x2, y2 = below[0] + below[2] / 2, below[1] - 2
    return path([(x1, y1), (x2, y2)], "line") + path([(x2 - 4, y2 - 8), (x2, y2), (x2 + 4, y2 - 8)], "line")


def rooms_table() -> str:
    """Every room with what it is for, and its files with their jobs, from the top; a Markdown table."""
    lines = []
    for room in sorted(rooms(), key=floor, reverse=True):
        lines += [f"### `{room}/` {{ data-search-exclude }}", "", f"{job(f'{room}/__init__.py')}.", ""]
        lines += ["| File | Its one job | Used by other rooms |", "| --- | --- | --- |"]
        for name in inside(room):
            stem = Path(name).stem
            names = ", ".join(f"`{each}`" for each, module in exported(room).items() if module == stem)
            lines.append(f"| `{stem}.py` | {escape(job(name))} | {names} |")
        lines.append("")
    return "\n".join(lines)
