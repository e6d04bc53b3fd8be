"""The rooms of the package, drawn from its imports: what is drawn is what the code does."""

import ast
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "advprop"
_COLUMNS = 42  # characters in a line of files
_HEAD, _LINE, _GAP, _LEFT, _LANE = 32, 16, 14, 314, 14  # in units of the picture


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


def forget() -> None:
    """What was read of the package is read anew: `mkdocs serve` builds again when a file has changed."""
    for kept in (files, used, reached, floor):
        kept.cache_clear()


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


def floors() -> list[str]:
    """The rooms from the top: each stands above those that it imports from."""
    return sorted(rooms(), key=floor, reverse=True)


@dataclass(frozen=True)
class Box:
    """A room as `docs/templates/rooms.svg` draws it: where it begins, its files, the rooms that it needs.

    The arrow to it begins at the height `start`, and runs beside the boxes at `x`.
    """

    top: int
    lines: list[str]
    needs: list[str]
    x: int
    start: int

    @property
    def out(self) -> int:
        """Where its arrows begin."""
        return self.top + _HEAD + _LINE * len(self.lines) - 10

    @property
    def bottom(self) -> int:
        """Where it ends."""
        return self.out + 10


def boxes() -> dict[str, Box]:
    """The rooms as boxes, the highest on top; arrows that overlap have lanes of their own."""
    found: dict[str, Box] = {}
    top, order = 2, floors()
    arrow: dict[str, tuple[int, int]] = {}  # to each room: lane and start
    ends: list[int] = []  # of the last arrow in each lane
    for place, room in enumerate(order):
        lines = textwrap.wrap(", ".join(Path(name).stem for name in inside(room)), _COLUMNS)
        needs = [below for above, below in arrows() if above == room]
        found[room] = box = Box(top, lines, needs, *arrow.get(room, (0, 0)))
        for below in sorted({*needs} - {*arrow}, key=order.index, reverse=True):
            lane = next((number for number, end in enumerate(ends) if end <= place), len(ends))
            ends[lane : lane + 1] = [order.index(below)]
            arrow[below] = _LEFT + _LANE * lane, box.out
        top = box.bottom + _GAP
    return found
