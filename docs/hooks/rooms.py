"""The rooms of the package, drawn from its imports: what is drawn is what the code does."""

import ast
import math
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from docs.hooks.svg import drawing, element, figure, path, rect, text, tip

PACKAGE = Path(__file__).resolve().parents[2] / "advprop"
_WIDTH, _BOX, _GAP, _LINE, _HEAD, _BETWEEN = 720.0, 200.0, 14.0, 17.0, 34.0, 56.0


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


@dataclass(frozen=True)
class Place:
    """Where a room's box is: its corner and height, and its row with where that begins and ends."""

    x: float
    y: float
    height: float
    row: int
    bottom: float

    @property
    def middle(self) -> float:
        """Where arrows begin and end."""
        return self.x + _BOX / 2


def rooms_picture() -> str:
    """The rooms as boxes with their files inside, the highest on top, and arrows to what they need."""
    places = _places()
    long = [arrow for arrow in arrows() if places[arrow[1]].row > places[arrow[0]].row + 1]
    lines = [_arrow(places[above], places[below]) for above, below in arrows() if (above, below) not in long]
    lanes: dict[bool, int] = {True: 0, False: 0}
    for above, below in long:
        left = places[below].middle < _WIDTH / 2
        lines.append(_long_arrow(places[above], places[below], left, lanes[left]))
        lanes[left] += 1
    picture = drawing(
        _WIDTH,
        max(place.bottom for place in places.values()) + 4,
        *lines,
        *(_box(room, place) for room, place in places.items()),
        name="rooms",
        title="The rooms of the package",
        description="; ".join(f"{room} needs {', '.join(sorted(used(room))) or 'none'}" for room in places),
    )
    caption = (
        "Every arrow runs downwards, to what a room needs. What it also reaches through another room has no "
        "arrow of its own. Drawn from the imports."
    )
    return figure(picture, caption)


def _places() -> dict[str, Place]:
    """Where the box of each room is."""
    found, y = {}, 4.0
    for number, level in enumerate(sorted({floor(room) for room in rooms()}, reverse=True)):
        row = [room for room in rooms() if floor(room) == level]
        heights = {room: _HEAD + _LINE * -(-len(inside(room)) // 2) for room in row}
        left = (_WIDTH - len(row) * _BOX - _GAP * (len(row) - 1)) / 2
        bottom = y + max(heights.values())
        for place, room in enumerate(row):
            found[room] = Place(left + place * (_BOX + _GAP), y, heights[room], number, bottom)
        y = bottom + _BETWEEN
    return found


def _box(room: str, place: Place) -> str:
    names = [Path(name).stem for name in inside(room)]
    half = -(-len(names) // 2)
    column = max(7.2 * max(map(len, names[:half])) + 10, _BOX / 2 - 4)
    labels = [
        text(
            place.x + 10 + column * (number // half),
            place.y + 38 + _LINE * (number % half),
            name,
            anchor="start",
            class_="small",
        )
        for number, name in enumerate(names)
    ]
    title = text(place.x + 10, place.y + 20, room, anchor="start", class_="strong")
    box = rect(place.x, place.y, _BOX, place.height, "box", tip(job(f"{room}/__init__.py")))
    return element("g", box, title, *labels)


def _arrow(above: Place, below: Place) -> str:
    return _line([(above.middle, above.y + above.height), (below.middle, below.y)])


def _long_arrow(above: Place, below: Place, left: bool, lane: int) -> str:
    """An arrow around the rows between: along the side of the picture, each in a lane of its own."""
    side, shift = 8.0 + 10 * lane, 6.0 * lane
    x = side if left else _WIDTH - side
    start = above.middle + (-30 - shift if left else 30 + shift)
    end = below.middle + (-30 - shift if left else 30 + shift)
    out, back = above.bottom + 14 + shift, below.y - 20 - shift
    return _line(
        [(start, above.y + above.height), (start, out), (x, out), (x, back), (end, back), (end, below.y)]
    )


def _line(points: list[tuple[float, float]]) -> str:
    """A line with the head of an arrow at its end."""
    (x0, y0), (x, y) = points[-2:]
    length = math.hypot(x - x0, y - y0)
    dx, dy = 8 * (x - x0) / length, 8 * (y - y0) / length
    head = [(x - dx - dy / 2, y - dy + dx / 2), (x, y), (x - dx + dy / 2, y - dy - dx / 2)]
    return path(points, "line") + path(head, "line")


def rooms_table() -> str:
    """Every room with what it is for, and its files with their jobs, from the top; a Markdown table."""
    lines = ["| Room and file | Job |", "| --- | --- |"]
    for room in sorted(rooms(), key=floor, reverse=True):
        lines.append(f"| **`{room}/`** | **{escape(job(f'{room}/__init__.py'))}** |")
        lines += [f"| `{Path(name).name}` | {escape(job(name))} |" for name in inside(room)]
    return "\n".join(lines)
