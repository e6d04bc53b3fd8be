"""The rooms of the package, drawn from its imports: what is drawn is what the code does."""

import ast
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from docs.hooks.svg import drawing, element, figure, path, rect, text, tip

PACKAGE = Path(__file__).resolve().parents[2] / "advprop"
_WIDTH, _BOX, _LANE, _COLUMNS = 390.0, 300.0, 14.0, 42
_HEAD, _LINE, _GAP = 32.0, 16.0, 14.0


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
class Box:
    """A room in the picture: where it begins, and the lines with its files."""

    top: float
    lines: list[str]

    @property
    def bottom(self) -> float:
        """Where it ends."""
        return self.top + _HEAD + _LINE * len(self.lines)


def rooms_picture() -> str:
    """The rooms as boxes with their files inside, the highest on top, and arrows to what they need."""
    boxes, top = {}, 2.0
    for room in sorted(rooms(), key=floor, reverse=True):
        names = ", ".join(Path(name).stem for name in inside(room))
        boxes[room] = Box(top, textwrap.wrap(names, _COLUMNS))
        top = boxes[room].bottom + _GAP
    picture = drawing(
        _WIDTH,
        top - _GAP + 2,
        *(_drawn(room, box) for room, box in boxes.items()),
        *_wires(boxes),
        name="rooms",
        title="The rooms of the package",
        description="; ".join(f"{room} needs {', '.join(sorted(used(room))) or 'none'}" for room in boxes),
    )
    caption = (
        "From the dots beside a room, arrows lead down to the rooms that it needs. What it also reaches "
        "through another room has no dot. Drawn from the imports."
    )
    return figure(picture, caption)


def _drawn(room: str, box: Box) -> str:
    files = [
        text(12, box.top + 39 + _LINE * number, line, anchor="start", class_="small")
        for number, line in enumerate(box.lines)
    ]
    title = text(12, box.top + 20, room, anchor="start", class_="strong")
    frame = rect(1, box.top, _BOX, box.bottom - box.top, "box", tip(job(f"{room}/__init__.py")))
    return element("g", frame, title, *files)


def _wires(boxes: Mapping[str, Box]) -> Iterator[str]:
    """A line out of each room, and from its dots a lane down to each room that it needs."""
    places = {room: _BOX + _LANE * (number + 1) for room, number in lanes(list(boxes)).items()}
    for above in dict.fromkeys(above for above, _ in arrows()):
        out, ends = boxes[above].bottom - 10, [places[below] for each, below in arrows() if each == above]
        yield path([(_BOX + 1, out), (max(ends), out)], "line")
        yield from (element("circle", cx=x, cy=out, r=3, fill="currentColor") for x in ends)
    for below, x in places.items():
        first = min(boxes[above].bottom - 10 for above, each in arrows() if each == below)
        y, end = boxes[below].top + 15, _BOX + 3
        yield path([(x, first), (x, y), (end, y)], "line")
        yield path([(end + 7, y - 4), (end, y), (end + 7, y + 4)], "line")


def lanes(order: list[str]) -> dict[str, int]:
    """The lane of the arrow to each room, given the rooms from the top; overlapping arrows differ."""
    first = {
        below: min(order.index(above) for above, each in arrows() if each == below)
        for below in {below for _, below in arrows()}
    }
    found: dict[str, int] = {}
    ends: list[int] = []
    for below, start in sorted(first.items(), key=lambda item: (item[1], -order.index(item[0]))):
        lane = next((number for number, end in enumerate(ends) if end <= start), len(ends))
        ends[lane : lane + 1] = [order.index(below)]
        found[below] = lane
    return found


def rooms_list() -> str:
    """Every room with what it is for, and its files with their jobs, from the top; Markdown."""
    lines = []
    for room in sorted(rooms(), key=floor, reverse=True):
        lines += [f"### `{room}/` {{ data-search-exclude }}", f"{escape(job(f'{room}/__init__.py'))}.", ""]
        lines += [f"- `{Path(name).name}`: {escape(job(name))}" for name in inside(room)]
        lines.append("")
    return "\n".join(lines)
