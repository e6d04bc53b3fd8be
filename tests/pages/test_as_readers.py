"""Tutorials and snippets as readers run them: the wheel in a fresh environment, elsewhere, twice in a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import v4

from advprop.cards import load_model_index
from scripts import install_cell, notebook_cache
from tests.readers import Reader, new_reader
from tests.site_tools import ROOT, RUN_LANGUAGES, built_site, code_blocks, page_path, soup_of

pytestmark = pytest.mark.slow

NOTEBOOKS = [path.name for path in notebook_cache.tutorials()]
FIRST, *OTHERS = sorted(card.name for card in load_model_index().members("AdvProp"))
# One small notebook of each kind: without an extra, with one.
KINDS = {
    "plain": "import advprop\nprint(advprop.create_model('advprop_convnet').num_classes)",
    "plot": "from advprop import notebook_style\nnotebook_style()\nprint('10')",
}


@pytest.fixture(scope="module")
def reader(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody on whose machine the first cell of a notebook will install the package."""
    return new_reader(root, tmp_path_factory.mktemp("reader"), installed=False)


@pytest.fixture(scope="module")
def who_installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Somebody who has installed the package with its extras."""
    return new_reader(root, tmp_path_factory.mktemp("installed"), installed=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_notebook_installs_what_it_needs_and_runs_twice(
    kind: str, reader: Reader, tmp_path: Path
) -> None:
    cells = [v4.new_markdown_cell("# Words"), v4.new_code_cell(KINDS[kind])]
    notebook = install_cell.put(v4.new_notebook(cells=cells))
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
    for _ in range(2):
        executed = reader.run_notebook(notebook_cache.NOTEBOOKS / name, tmp_path / "elsewhere")
        assert all(cell.execution_count for cell in notebook_cache.code_cells(executed) if cell.source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory)


def pages() -> Iterator[str]:
    """The written pages, and those of models, of which the larger ones show the same programs."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        if not name.startswith("templates/"):
            yield name.removesuffix("index").rstrip("/")
    yield f"models/{FIRST}"


@pytest.mark.nightly
@pytest.mark.parametrize("page", list(pages()))
def test_every_block_runs_on_a_readers_machine(
    page: str, site: Path, who_installed: Reader, tmp_path: Path
) -> None:
    blocks = [each for each in code_blocks(page, soup_of(page_path(site, page))) if not each.skip]
    faults = []
    for number, block in enumerate(each for each in blocks if each.language in RUN_LANGUAGES - {"pycon"}):
        shared = page.startswith("guides/") or block.language == "bash"
        folder = tmp_path / ("shared" if shared else str(number))
        folder.mkdir(exist_ok=True)
        done = who_installed.run(block.code, folder, block.language)
        if (
            done.returncode and "127.0.0.1" not in done.stderr
        ):  # what is on the hub is run in test_snippets.py
            faults.append(f"{block.where}\n{block.code}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    assert not faults, "\n\n".join(faults)
