"""The floors of the package: a file imports only from floors below its own."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

# From the top down. A new file gets its place here first.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("commands",),
    ("trainer",),
    ("loop", "outcome"),
    ("build", "runs", "verify"),
    ("evaluate", "recipe", "listing", "snippets"),
    ("fast", "accuracy"),
    ("tasks", "models", "checkpoint"),
    ("attack", "data", "cards", "corruptions", "convnet", "count", "results", "ranks", "world", "progress"),
    ("_corruption_kinds",),
    ("branch", "behaviour", "objective", "_corruption_parts", "page"),
    ("norm", "ball", "_draws"),
)
HEIGHT = {name: height for height, floor in enumerate(reversed(FLOORS)) for name in floor}
OUTSIDE = {"docs", "notebooks", "scripts", "tests", "mkdocs"}


def imported(tree: ast.AST) -> set[str]:
    """Return every module that a file names in an import, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module if not node.level else ".".join(filter(None, ("advprop", node.module)))
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def faults(sources: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the imports of these files, given by module name."""
    found = []
    for name, source in sources.items():
        if name == "__init__":
            continue
        if name not in HEIGHT:
            found.append(f"{name}.py has no floor: name it in FLOORS")
            continue
        for module in sorted(imported(ast.parse(source))):
            top, _, rest = module.partition(".")
            below = rest.partition(".")[0]
            if top in OUTSIDE:
                found.append(f"{name}.py imports {top}, which is outside of the package")
            elif top == "advprop" and HEIGHT.get(below, len(FLOORS)) >= HEIGHT[name]:
                found.append(f"{name}.py imports {module}, which is not below it")
    return found


def test_imports_run_downwards(root: Path) -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in (root / "advprop").glob("*.py")}
    assert "norm" in sources
    assert faults(sources) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("norm", "from advprop.attack import PGD"),
        ("norm", "def f():\n    import advprop.tasks"),
        ("tasks", "from advprop import models"),
        ("tasks", "from .trainer import fit"),
        ("attack", "from advprop import PGD"),
        ("cards", "from scripts import setup"),
        ("cli", "import advprop"),
        ("newcomer", ""),
    ],
)
def test_a_wrong_import_is_found(name: str, source: str) -> None:
    assert len(faults({name: source})) == 1


def test_right_imports_are_not_found() -> None:
    source = (
        "import torch\nfrom advprop.norm import add_aux_norm\nfrom advprop import attack\nfrom . import data"
    )
    assert faults({"tasks": source, "__init__": "from advprop.cli import main"}) == []
