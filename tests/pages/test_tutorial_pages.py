"""Pages of notebooks: runs on a GPU, links to the repository and to Colab, pictures of the gallery."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from docs.hooks import notebooks, stamps, tree
from docs.hooks.outputs import Figures
from scripts import gpu_runs, notebook_cache, surroundings
from scripts.published import Published

NOWHERE = Published("0.1.0")
GITHUB = Published("0.1.0", "https://github.com/a/b", on_index=True)
HERE = {"device": "CPU", "seconds": 61.0, "commit": "abc", "date": "2026-01-02T03:04:05", "versions": {}}
SVG = '<svg width="72pt" viewBox="0 0 9 9"><path id="{0}" style="fill: #000000" d="M{0} 0"/></svg>'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one notebook, with a package of one file, on a machine without a GPU."""
    for name, place in {
        "ROOT": "",
        "RUNS": ".cache/notebooks",
        "PACKAGE": "advprop",
        "NOTEBOOKS": "notebooks",
    }.items():
        monkeypatch.setattr(notebook_cache, name, tmp_path / place)
    for module in (tree, gpu_runs):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    for module in (notebook_cache, gpu_runs, surroundings):
        monkeypatch.setattr(module, "device_kind", lambda: "cpu")
    (tmp_path / "advprop").mkdir()
    (tmp_path / "advprop" / "__init__.py").write_text("answer = 1\n")
    return tmp_path


def figure(number: int) -> NotebookNode:
    return v4.new_output("display_data", {"image/svg+xml": SVG.format(number)})


def key_of(path: Path) -> str:
    return notebook_cache.key_of(notebook_cache.read(path))


def write(project: Path, *cells: NotebookNode) -> Path:
    """Write the notebook, and keep it as the run that passed here."""
    path = project / "notebooks" / "one.ipynb"
    path.parent.mkdir(exist_ok=True)
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# One\n\nWhat it teaches.\n\nMore."), *cells])
    executed = json.loads(v4.writes(notebook))
    for cell in notebook.cells[1:]:
        cell.update(outputs=[], execution_count=None)
    path.write_text(v4.writes(notebook), encoding="utf-8")
    notebook_cache.store(path, v4.reads(json.dumps(executed)), key=key_of(path), seconds=61)
    return path


def gpu_cell(*outputs: NotebookNode, count: int | None = None) -> NotebookNode:
    return v4.new_code_cell(
        "train()", id="big", metadata={"tags": ["gpu"]}, outputs=list(outputs), execution_count=count
    )


@pytest.fixture
def ran_on_gpu(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook that was run on a machine with a GPU, kept by the command, and then here without one."""
    small = v4.new_code_cell("print(1)", id="small", execution_count=1)
    with monkeypatch.context() as there:
        for module in (notebook_cache, gpu_runs, surroundings):
            there.setattr(module, "device_kind", lambda: "cuda")
        there.setattr(surroundings, "device_name", lambda kind=None: "NVIDIA Test 9000")
        path = write(project, small, gpu_cell(v4.new_output("stream", text="fast\n"), count=2))
        assert gpu_runs.main() == 0
    write(project, small, gpu_cell())
    return path


def test_a_cell_for_a_gpu_shows_its_last_run_there(ran_on_gpu: Path) -> None:
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).page.markdown
    note = page[page.index('<p class="stamp gpu">') :]
    assert "Its last run was on NVIDIA Test 9000" in note
    assert f"torch {surroundings.versions()['torch']}" in note
    assert "has changed since" not in note
    assert note.index("torch") < note.index("fast")
    assert "61 seconds on NVIDIA Test 9000" in page


@pytest.mark.parametrize("edited", ["package", "notebook"])
def test_a_run_on_a_gpu_of_older_code_says_so(ran_on_gpu: Path, project: Path, edited: str) -> None:
    if edited == "package":
        (project / "advprop" / "__init__.py").write_text("answer = 2\n")
    else:
        write(project, v4.new_code_cell("print(2)", id="small"), gpu_cell())
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).page.markdown
    assert "The code has changed since." in page
    assert "fast" in page


def test_a_cell_that_never_ran_on_a_gpu_says_so(project: Path) -> None:
    write(project, gpu_cell())
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).page.markdown
    assert "It has not been run on one yet." in page
    assert page.index("train()") < page.index("not been run")


def test_a_run_of_the_page_itself_on_a_gpu_needs_no_note(project: Path) -> None:
    write(project, gpu_cell(v4.new_output("stream", text="here\n"), count=1))
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).page.markdown
    assert "stamp gpu" not in page
    assert "here" in page


def test_without_a_gpu_no_run_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, gpu_cell())
    assert gpu_runs.main() == 1
    assert "torch sees none" in capsys.readouterr().err
    assert not (project / "notebooks" / "gpu").exists()


def test_the_page_says_what_the_first_cell_does_and_folds_its_code(project: Path) -> None:
    write(project, v4.new_code_cell("%pip install it", id="install", metadata={"tags": ["install"]}))
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).page.markdown
    title = "The first cell installs what this tutorial needs where it is missing; elsewhere it does nothing"
    assert f'??? note "{title}"\n\n    ```python\n    %pip install it\n    ```' in page


def test_links_need_a_repository(project: Path) -> None:
    write(project, v4.new_code_cell("1"))
    plain, linked = (tree.notebook("notebooks/one.ipynb", place).page.markdown for place in (NOWHERE, GITHUB))
    assert "olab" not in plain
    assert "Edit" not in plain
    colab = "https://colab.research.google.com/github/a/b/blob/v0.1.0/notebooks/one.ipynb"
    assert f'href="{colab}"' in linked
    assert 'href="https://github.com/a/b/edit/main/notebooks/one.ipynb"' in linked


def test_colab_reads_github_only() -> None:
    found = stamps.links(Published("0.1.0", "https://gitlab.com/a/b"), "notebooks/one.ipynb")
    assert "olab" not in found
    assert 'href="https://gitlab.com/a/b/-/edit/main/notebooks/one.ipynb"' in found


def test_the_gallery_has_title_words_time_and_the_first_figure(project: Path) -> None:
    write(
        project,
        v4.new_code_cell("1"),
        v4.new_code_cell("plot", outputs=[figure(1)], metadata={"alt": "A plot"}),
    )
    (tutorial,) = tree.gallery().tutorials
    assert (tutorial.title, tutorial.summary) == ("One", "What it teaches.")
    (run,) = tutorial.runs
    assert run.startswith("61 seconds on ")
    assert 'd="M1 0"' in tutorial.picture
    assert 'aria-label="A plot"' in tutorial.picture
    assert "currentColor" in tutorial.picture


def test_a_notebook_without_a_word_is_in_the_gallery_by_its_name(project: Path) -> None:
    path = write(project)
    notebook_cache.write(path, v4.new_notebook())
    (tutorial,) = tree.gallery().tutorials
    assert (tutorial.title, tutorial.summary) == ("one", "")


def test_a_tag_chooses_the_picture() -> None:
    cells = [v4.new_code_cell("a", outputs=[figure(1)]), v4.new_code_cell("b", outputs=[figure(2)])]
    cells[1].metadata["tags"] = ["thumbnail"]
    assert 'd="M2 0"' in notebooks.first_figure(v4.new_notebook(cells=cells), Figures())


def test_a_tutorial_without_a_run_has_no_picture(project: Path) -> None:
    write(project, v4.new_code_cell("plot", outputs=[figure(1)]))
    shutil.rmtree(notebook_cache.RUNS)
    (tutorial,) = tree.gallery().tutorials
    assert (tutorial.picture, tutorial.runs) == ("", ())


def test_long_runs_are_told_in_minutes() -> None:
    assert [stamps.duration(seconds) for seconds in (7.4, 99, 150)] == [
        "7 seconds",
        "99 seconds",
        "2.5 minutes",
    ]
    assert stamps.badge(HERE) == "61 seconds on CPU"
