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


def small(seeds: int, number: int = 1) -> NotebookNode:
    """A cell that runs everywhere, with a figure."""
    outputs = [v4.new_output("stream", text=f"{seeds} seeds\n"), figure(number)]
    metadata = {"alt": "A plot"}
    return v4.new_code_cell("print(1)", id="small", execution_count=1, outputs=outputs, metadata=metadata)


def same() -> NotebookNode:
    """A cell of which two runs show the same."""
    outputs = [v4.new_output("stream", text="the same on both\n")]
    return v4.new_code_cell("say()", id="same", execution_count=1, outputs=outputs)


@pytest.fixture
def ran_on_gpu(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebook that was run on a machine with a GPU, kept by the command, and then here without one."""
    with monkeypatch.context() as there:
        for module in (notebook_cache, gpu_runs, surroundings):
            there.setattr(module, "device_kind", lambda: "cuda")
        there.setattr(surroundings, "device_name", lambda kind=None: "NVIDIA Test 9000")
        path = write(project, small(10, 2), same(), gpu_cell(v4.new_output("stream", text="fast\n"), count=2))
        assert gpu_runs.main() == 0
    write(project, small(4, 1), same(), gpu_cell())
    return path


def test_a_cell_for_a_gpu_shows_its_last_run_there(ran_on_gpu: Path) -> None:
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    note = page[page.index('<p class="stamp gpu">') :]
    assert "Its last run was on NVIDIA Test 9000" in note
    assert f"torch {surroundings.versions()['torch']}" in note
    assert "Neither its cells nor the package have changed since." in note
    assert note.index("torch") < note.index("fast")
    assert "1 min 1 s on NVIDIA Test 9000<" in page


def test_other_cells_show_what_came_out_here_and_on_the_gpu(ran_on_gpu: Path) -> None:
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    there = '<details class="example" open markdown="1"><summary>The same on NVIDIA Test 9000</summary>'
    assert page.index("print(1)") < page.index("4 seeds") < page.index(there) < page.index("10 seeds")
    assert page.count(there) == 1
    assert page.count("the same on both") == 1
    assert page.count("<time datetime=") >= 2


def test_figures_of_a_gpu_lie_beside_the_page(ran_on_gpu: Path) -> None:
    page = tree.notebook("notebooks/one.ipynb", NOWHERE)
    (name,) = page.files
    assert f'\n<img class="drawn" src="{name}" alt="A plot"' in page.markdown
    assert b'd="M2 0"' in page.files[name]
    assert b'xmlns="http://www.w3.org/2000/svg"' in page.files[name]
    assert 'd="M1 0"' in page.markdown


@pytest.mark.parametrize("edited", ["the package", "its cells"])
def test_a_run_on_a_gpu_of_older_code_says_what_has_changed(
    ran_on_gpu: Path, project: Path, edited: str
) -> None:
    if edited == "the package":
        (project / "advprop" / "__init__.py").write_text("answer = 2\n")
        notebook_cache.store(
            ran_on_gpu,
            notebook_cache.read(notebook_cache.RUNS / "one.ipynb"),
            key=key_of(ran_on_gpu),
            seconds=61,
        )
    else:
        write(project, v4.new_code_cell("print(2)", id="small", execution_count=1), gpu_cell())
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    assert f"<strong>Since then {edited} have changed.</strong>" in page
    assert "1 min 1 s on NVIDIA Test 9000, older code" in page
    assert "fast" in page
    (tutorial,) = tree.gallery().tutorials
    assert tutorial.runs[1] == "1 min 1 s on NVIDIA Test 9000, older code"


def test_what_installs_is_no_change(ran_on_gpu: Path, project: Path) -> None:
    install = v4.new_code_cell("%pip install it", id="install", metadata={"tags": ["install"]})
    write(project, install, small(1), same(), gpu_cell())
    assert "Neither its cells nor the package" in tree.notebook("notebooks/one.ipynb", NOWHERE).markdown


def test_a_run_without_outputs_says_so(ran_on_gpu: Path) -> None:
    path = gpu_runs.path_of(ran_on_gpu)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"outputs": {}}))
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    assert "Its outputs were not kept." in page
    assert "The same on" not in page
    assert "No output of it on one has been kept yet." in page


def test_a_cell_that_never_ran_on_a_gpu_says_so(project: Path) -> None:
    write(project, gpu_cell())
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    assert "No output of it on one has been kept yet." in page
    assert page.index("train()") < page.index("No output of it")


def test_a_run_of_the_page_itself_on_a_gpu_needs_no_note(project: Path) -> None:
    write(project, gpu_cell(v4.new_output("stream", text="here\n"), count=1))
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    assert "stamp gpu" not in page
    assert "here" in page


def test_without_a_gpu_no_run_is_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, gpu_cell())
    assert gpu_runs.main() == 1
    assert "torch sees none" in capsys.readouterr().err
    assert not (project / "notebooks" / "gpu").exists()


def test_what_installs_and_what_solves_an_exercise_is_folded_with_what_it_shows(project: Path) -> None:
    install, answer = (
        v4.new_code_cell(tag, id=tag, metadata={"tags": [tag]}) for tag in ("install", "solution")
    )
    answer.outputs = [v4.new_output("stream", text="42\n")]
    write(project, install, answer)
    page = tree.notebook("notebooks/one.ipynb", NOWHERE).markdown
    title = "The first cell installs missing packages"
    assert f'<details class="note" markdown="1"><summary>{title}</summary>\n\n```python\ninstall\n```' in page
    head = '<details class="success" markdown="1"><summary>Solution</summary>'
    output = "```{.text .output .no-copy}\n42\n```\n\n</details>"
    assert f"{head}\n\n```python\nsolution\n```\n\n{output}" in page


def test_links_need_a_repository(project: Path) -> None:
    write(project, v4.new_code_cell("1"))
    plain, linked = (tree.notebook("notebooks/one.ipynb", place).markdown for place in (NOWHERE, GITHUB))
    assert "olab" not in plain
    assert "Edit" not in plain + linked  # the button at the top of the page does that
    colab = "https://colab.research.google.com/github/a/b/blob/v0.1.0/notebooks/one.ipynb"
    assert f'href="{colab}"' in linked


def test_colab_reads_github_only() -> None:
    place = Published("0.1.0", "https://gitlab.com/a/b")
    assert stamps.link_to_colab(place, "notebooks/one.ipynb") == ""
    assert (
        place.page("edit", "notebooks/one.ipynb") == "https://gitlab.com/a/b/-/edit/main/notebooks/one.ipynb"
    )


def test_the_gallery_has_title_words_time_and_the_first_figure(project: Path) -> None:
    write(
        project,
        v4.new_code_cell("1"),
        v4.new_code_cell("plot", outputs=[figure(1)], metadata={"alt": "A plot"}),
    )
    (tutorial,) = tree.gallery().tutorials
    assert (tutorial.title, tutorial.summary) == ("One", "What it teaches.")
    (run,) = tutorial.runs
    assert run.startswith("1 min 1 s on ")
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
