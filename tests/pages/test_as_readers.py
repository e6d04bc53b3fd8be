"""Tutorials as readers run them: the wheel in a fresh environment, a folder elsewhere, twice in a row."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat import v4

from scripts import install_cell, notebook_cache
from scripts.published import Published, published
from tests.readers import Reader, new_reader

pytestmark = pytest.mark.slow

# As if the package were in an index: the wheel's folder stands for one.
PLACE = Published(published().version, on_index=True)
NOTEBOOKS = [path.name for path in notebook_cache.tutorials()]
# One small notebook of each kind: without an extra, with one.
KINDS = {
    "plain": "import advprop\nprint(advprop.create_model('advprop_convnet').num_classes)",
    "plot": "from advprop import notebook_style\nnotebook_style()\nprint('10')",
}


@pytest.fixture(scope="module")
def reader(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody on whose machine the first cell of a notebook will install the package."""
    return new_reader(root, tmp_path_factory.mktemp("reader"), installed=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_notebook_installs_what_it_needs_and_runs_twice(
    kind: str, reader: Reader, tmp_path: Path
) -> None:
    cells = [v4.new_markdown_cell("# Words"), v4.new_code_cell(KINDS[kind])]
    notebook = install_cell.put(v4.new_notebook(cells=cells), PLACE)
    path = tmp_path / "one.ipynb"
    path.write_text(v4.writes(notebook), encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    for _ in range(2):
        executed = reader.run_notebook(path, tmp_path / "elsewhere")
        printed = [each.text for each in executed.cells[2].outputs if each.get("name") == "stdout"]
        assert printed == ["10\n"]


@pytest.mark.nightly
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_tutorial_runs_twice_on_a_readers_machine(name: str, reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    notebook_cache.write(
        tmp_path / name, install_cell.put(notebook_cache.read(notebook_cache.NOTEBOOKS / name), PLACE)
    )
    for _ in range(2):
        executed = reader.run_notebook(tmp_path / name, tmp_path / "elsewhere")
        assert all(cell.execution_count for cell in notebook_cache.code_cells(executed) if cell.source)
