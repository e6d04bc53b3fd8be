"""What is imported is declared, once and where it belongs; the core needs what the package imports."""

import ast
import re
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from scripts.notebook_cache import code_cells, read

OURS = {"advprop", "docs", "scripts", "tests"}
BY_NAME = {name: places[0] for name, places in packages_distributions().items()}


@pytest.fixture
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements: list[Any]) -> set[str]:
    """The packages that a list of requirements names, without what it includes."""
    return {plain(re.split(r"[^\w.-]", each)[0]) for each in requirements if isinstance(each, str)}


def plain(name: str) -> str:
    """A package's name as the lock spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(source: str) -> set[str]:
    """The packages that a program imports, by their names in the index."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module or "")
    tops = {module.partition(".")[0] for module in modules} - OURS - sys.stdlib_module_names
    return {plain(BY_NAME.get(top, top)) for top in tops}


def imports_below(folder: Path) -> set[str]:
    """What all programs below a folder import."""
    sources = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py*") if path.suffix != ".pyc"]
    return set().union(*map(imported, sources))


def imports_of_notebooks(folder: Path) -> set[str]:
    """What the notebooks of a folder import, without the modules that they write themselves."""
    cells = [cell for path in folder.glob("*.ipynb") for cell in code_cells(read(path))]
    sources = [re.sub(r"^(\s*)[%!].*", r"\1pass", cell.source, flags=re.MULTILINE) for cell in cells]
    written = {name for cell in cells for name in re.findall(r"^%%writefile (\w+)\.py", cell.source)}
    return set().union(*map(imported, sources)) - written


def test_imports_are_found() -> None:
    code = "import torch.nn, json\nfrom PIL import Image\nfrom . import x\ndef f():\n    import yaml"
    assert imported(code) == {"torch", "pillow", "pyyaml"}


def test_the_core_is_what_the_package_imports_without_its_extras(
    pyproject: dict[str, Any], root: Path
) -> None:
    project = pyproject["project"]
    extras = set().union(*map(names, project["optional-dependencies"].values()))
    assert imports_below(root / "advprop") - extras == names(project["dependencies"])


def test_code_of_the_pages_needs_the_package_and_its_extras(pyproject: dict[str, Any], root: Path) -> None:
    project = pyproject["project"]
    declared = names(project["dependencies"]).union(*map(names, project["optional-dependencies"].values()))
    assert imports_below(root / "snippets") - declared == set()
    assert imports_of_notebooks(root / "notebooks") - declared == {"ipython"}  # whoever opens one has it


@pytest.mark.parametrize("folder", ["docs", "scripts", "tests"])
def test_what_contributors_import_is_in_a_group(folder: str, pyproject: dict[str, Any], root: Path) -> None:
    project = pyproject["project"]
    parts = [*project["optional-dependencies"].values(), *pyproject["dependency-groups"].values()]
    assert imports_below(root / folder) - names(project["dependencies"]).union(*map(names, parts)) == set()


def test_each_package_is_declared_once(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    parts = [project["dependencies"], *project["optional-dependencies"].values()]
    parts += pyproject["dependency-groups"].values()
    times = Counter(name for part in parts for name in names(part))
    assert [name for name, count in times.items() if count > 1] == []


def test_no_extra_is_for_contributors(pyproject: dict[str, Any]) -> None:
    assert not {"dev", "docs", "test"} & pyproject["project"]["optional-dependencies"].keys()
    assert pyproject["dependency-groups"].keys() == {"dev", "docs", "test"}
