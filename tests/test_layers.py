"""The floors of the package: a file imports only from floors below its own, directly or through helpers."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

# A file that is not named here is a helper: it may stand anywhere, and counts for what it imports in turn.
FLOORS = {
    "cli": 5,
    "trainer": 4,
    "saved": 4,
    "evaluate": 3,
    "predict": 3,
    "export": 4,
    "recipe": 3,
    "verify": 3,
    "tasks": 2,
    "models": 2,
    "checkpoint": 2,
    "attack": 1,
    "data": 1,
    "cards": 1,
    "corruptions": 1,
    "norm": 0,
    "style": 0,
}
OUTSIDE = {"docs", "notebooks", "scripts", "tests", "mkdocs"}


def imported(source: str) -> set[str]:
    """Return every module that a file names in an import, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module if not node.level else ".".join(filter(None, ("advprop", node.module)))
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def neighbours(source: str, known: set[str]) -> set[str]:
    """Return the files of the package that a file imports; the package itself is "advprop"."""
    parts = [name.split(".") for name in imported(source)]
    own = [path[1] if path[1:] and path[1] in known else "advprop" for path in parts if path[0] == "advprop"]
    return set(own)


def reached(name: str, graph: Mapping[str, set[str]]) -> set[str]:
    """Return all files that a file imports, directly or through others."""
    found: set[str] = set()
    waiting = list(graph.get(name, ()))
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph.get(module, ())
    return found


def faults(sources: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the imports of these files, given by module name."""
    files = {name: source for name, source in sources.items() if name != "__init__"}
    graph = {name: neighbours(source, set(files)) for name, source in files.items()}
    found = []
    for name, source in files.items():
        outside = sorted(OUTSIDE & {module.partition(".")[0] for module in imported(source)})
        found += [f"{name} imports {module}, which is outside of the package" for module in outside]
        below = reached(name, graph)
        found += [f"{name} imports the package as a whole"] if "advprop" in graph[name] else []
        found += [f"{name} imports itself, in a circle"] if name in below else []
        higher = sorted(other for other in below - {name} if FLOORS.get(other, -1) >= FLOORS.get(name, 9))
        found += [f"{name} reaches {other}, which is not below it" for other in higher]
    return found


def test_imports_run_downwards(root: Path) -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in (root / "advprop").glob("*.py")}
    assert set(FLOORS) <= set(sources)
    assert faults(sources) == []


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("norm", "from advprop.attack import PGD", "norm reaches attack"),
        ("norm", "def f():\n    import advprop.tasks", "norm reaches tasks"),
        ("tasks", "from advprop import models", "tasks reaches models"),
        ("tasks", "from .trainer import fit", "tasks reaches trainer"),
        ("attack", "from advprop.helper import help", "attack reaches evaluate"),
        ("attack", "from advprop import PGD", "attack imports the package as a whole"),
        ("cli", "import advprop", "cli imports the package as a whole"),
        ("cards", "from scripts import setup", "cards imports scripts"),
        ("evaluate", "from advprop import helper", "evaluate imports itself"),
    ],
)
def test_a_wrong_import_is_found(name: str, source: str, message: str) -> None:
    sources = dict.fromkeys(FLOORS, "") | {"helper": "import advprop.evaluate"} | {name: source}
    assert any(fault.startswith(message) for fault in faults(sources))


def test_right_imports_are_not_found() -> None:
    source = (
        "import torch\nfrom advprop.norm import add_aux_norm\nfrom advprop import attack\nfrom . import data"
    )
    sources = dict.fromkeys(FLOORS, "") | {"tasks": source, "cli": "from advprop.helper import help"}
    assert (
        faults(sources | {"helper": "import advprop.trainer", "__init__": "from advprop.cli import main"})
        == []
    )
