"""The rooms of the package: imports run downwards, from room to room through the rooms' faces only."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import pytest

from docs.hooks import rooms

# From the top; a room may import from those below it.
ROOMS = (
    "cli",
    "inference",
    "training",
    "figures",
    "runs",
    "data",
    "recipes",
    "cards",
    "evaluation",
    "tasks",
    "models",
    "attacks",
    "norms",
    "runtime",
)
OUTSIDE = {"scripts", "docs", "tests", "notebooks"}
FACES = {"norms": {"MAIN", "use_branch"}, "attacks": {"PGD"}, "tasks": {"StandardTask"}}


def exported(room: str) -> set[str]:
    """What other rooms may use of a room: the names of its `__init__.pyi`."""
    return set(import_module(f"advprop.{room}").__all__)


def faults(sources: Mapping[str, str], faces: Mapping[str, set[str]]) -> list[str]:
    """Everything that is wrong with the imports of files, each by its path in the package."""
    found = []
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        room, _, name = path.removesuffix(".py").rpartition("/")
        graph[f"{room}.{name}"] = set()
        for imported in rooms.imports(source):
            top, _, inside = imported.partition(".")
            if top in OUTSIDE or not top:
                found.append(f"{path} imports {imported}, which is outside of the package")
            elif top == "advprop":
                other, _, what = inside.partition(".")
                if other not in ROOMS:
                    found.append(f"{path} imports the package as a whole: {imported}")
                elif other == room:
                    graph[f"{room}.{name}"].add(".".join(imported.split(".")[1:3]))
                elif ROOMS.index(other) < ROOMS.index(room):
                    found.append(f"{path} reaches up to {other}: {imported}")
                elif what not in faces.get(other, ()):
                    found.append(f"{path} imports {imported}, which is no name of the room's face")
    return found + [f"{file} imports itself, in a circle" for file in graph if file in below(file, graph)]


def below(file: str, graph: Mapping[str, set[str]]) -> set[str]:
    """All that a file imports in its room, directly or through others."""
    seen: set[str] = set()
    waiting = [*graph.get(file, ())]
    while waiting:
        if (each := waiting.pop()) not in seen:
            seen.add(each)
            waiting += graph.get(each, ())
    return seen


def test_imports_run_downwards(root: Path) -> None:
    package = root / "advprop"
    assert sorted(path.name for path in package.iterdir() if (path / "__init__.py").is_file()) == sorted(
        ROOMS
    )
    sources = {
        f"{room}/{path.name}": path.read_text(encoding="utf-8")
        for room in ROOMS
        for path in (package / room).glob("*.py")
    }
    assert len(sources) > 60
    assert faults(sources, {room: exported(room) for room in ROOMS}) == []


def test_only_the_face_stands_outside_of_the_rooms(root: Path) -> None:
    files = {path.name for path in (root / "advprop").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__init__.pyi", "__main__.py", "py.typed"}
    folders = {path.name for path in (root / "advprop").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == {*ROOMS, "data_files"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_what_others_may_use(room: str) -> None:
    assert rooms.job(f"{room}/__init__.py").endswith(tuple("abcdefghijklmnopqrstuvwxyz]"))
    assert exported(room)
    # A file that is imported would take the place of what the face exports under its name.
    assert not {Path(file).stem for file in rooms.inside(room)} & exported(room)


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("norms/wrap.py", "from advprop.attacks import PGD", "norms/wrap.py reaches up to attacks"),
        ("norms/wrap.py", "def f():\n    import advprop.tasks", "norms/wrap.py reaches up to tasks"),
        ("norms/wrap.py", "from advprop import models", "norms/wrap.py reaches up to models"),
        ("norms/wrap.py", "from .find import f", "norms/wrap.py imports .find.f, which is outside"),
        ("attacks/pgd.py", "from advprop.norms.branch import use_branch", "which is no name of the room's"),
        ("attacks/pgd.py", "from advprop.norms import names_of", "which is no name of the room's face"),
        ("attacks/pgd.py", "from advprop import PGD", "attacks/pgd.py imports the package as a whole"),
        ("cli/main.py", "import advprop", "cli/main.py imports the package as a whole"),
        ("cards/page.py", "from scripts import setup", "cards/page.py imports scripts.setup"),
        ("norms/wrap.py", "from advprop.norms.find import f", "norms.wrap imports itself"),
        ("norms/wrap.py", "from advprop.norms import find", "norms.wrap imports itself"),
    ],
)
def test_a_wrong_import_is_found(path: str, source: str, message: str) -> None:
    found = faults({"norms/find.py": "import advprop.norms.wrap", path: source}, FACES)
    assert [fault for fault in found if message in fault]


def test_right_imports_are_not_found() -> None:
    source = (
        "import torch\nfrom advprop.norms import MAIN, use_branch\nfrom advprop.tasks.standard import Source"
    )
    sources = {"tasks/advprop.py": source, "tasks/standard.py": "import torch", "norms/wrap.py": "import re"}
    assert faults(sources, FACES) == []
