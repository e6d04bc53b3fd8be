"""The tutorials: how they are stored, and that what is published is what has passed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from scripts import notebook_cache, run_notebooks, surroundings

NAMES = sorted(path.name for path in notebook_cache.NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_stored_without_outputs(name: str) -> None:
    cells = json.loads((notebook_cache.NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell["source"] for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_ends_with_its_claims_and_a_next_step(name: str) -> None:
    cells = nbformat.read(notebook_cache.NOTEBOOKS / name, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    solutions = [cell for cell in code if notebook_cache.SOLUTION in notebook_cache.tags_of(cell)]
    assert code[-len(solutions) :] == solutions
    assert "assert " in code[-len(solutions) - 1].source
    assert cells[-1].cell_type == "markdown"
    assert re.search(r"^#+ .*[Nn]ext", cells[-1].source, flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_has_exercises_with_solutions_folded_away(name: str) -> None:
    cells = nbformat.read(notebook_cache.NOTEBOOKS / name, as_version=4).cells
    start = next(at for at, cell in enumerate(cells) if cell.source.startswith("## Exercises\n"))
    exercises, solutions = cells[start:-1:2], cells[start + 1 : -1 : 2]
    assert 2 <= len(solutions) == len(exercises) <= 3
    for number, (exercise, solution) in enumerate(zip(exercises, solutions, strict=True), start=1):
        assert f"**{number}. " in exercise.source
        assert solution.source.startswith(f"# @title Solution {number}\n")  # Colab folds it below this
        assert solution.metadata == {
            "cellView": "form",
            "jupyter": {"source_hidden": True},
            "tags": [notebook_cache.SOLUTION],
        }


@pytest.mark.parametrize("name", NAMES)
def test_does_more_on_a_gpu(name: str) -> None:
    cells = nbformat.read(notebook_cache.NOTEBOOKS / name, as_version=4).cells
    assert any("torch.cuda.is_available()" in cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", NAMES)
def test_uses_the_public_api_only(name: str) -> None:
    cells = nbformat.read(notebook_cache.NOTEBOOKS / name, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert not re.search(r"\badvprop[\w.]*\._|\bimport\s+_|\.\s*_[a-z]\w*", code)


@pytest.mark.parametrize("name", NAMES)
def test_published_run_warns_of_nothing_and_names_no_place(name: str, root: Path) -> None:
    try:
        run = notebook_cache.run_of(notebook_cache.NOTEBOOKS / name)
    except notebook_cache.MissingRunError as missing:
        pytest.skip(str(missing))
    cells = notebook_cache.code_cells(notebook_cache.read(run))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert str(root) not in json.dumps(outputs)
    told = [output.data.get("text/plain", "") for output in outputs if output.output_type == "execute_result"]
    assert [text for text in told if re.search(r" at 0x[0-9a-f]+>|^\[?Text\(", text)] == []  # end with a ;


@pytest.fixture
def project(tmp_path: Path, root: Path) -> Path:
    """A project in small: the real machinery of the notebooks, a package of one line."""
    project = tmp_path / "a project"
    for name in (
        "scripts/notebook_cache.py",
        "scripts/gpu_runs.py",
        "scripts/shell.sh",
        "scripts/surroundings.py",
        "scripts/tutorial_run.py",
        "scripts/run_notebooks.py",
        "notebooks/conftest.py",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, project / name)
    shutil.copy(root / "pyproject.toml", project)
    (project / "advprop").mkdir()
    (project / "advprop" / "__init__.py").write_text("from advprop import norm\n")
    (project / "advprop" / "norm.py").write_text("answer = 1\n")
    return project


def write(project: Path, *cells: str, prose: str = "Words.", tags: tuple[str, ...] = ()) -> None:
    """Write the one notebook of a project."""
    code = [v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {}) for source in cells]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(prose), *code])
    nbformat.write(notebook, project / "notebooks" / "one.ipynb")


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the notebooks of a project as make does."""
    command = [sys.executable, "-m", "scripts.run_notebooks", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=110)


def published(project: Path) -> nbformat.NotebookNode | None:
    """Return the stored run of the one notebook."""
    path = project / ".cache" / "notebooks" / "one.ipynb"
    return nbformat.read(path, as_version=4) if path.exists() else None


@pytest.mark.slow
def test_the_run_that_passed_is_published_once(project: Path) -> None:
    write(project, "print('seen')\n6 * 7", "7 * 6")
    result = run(project)
    assert result.returncode == 0, result.stdout + result.stderr
    notebook = published(project)
    assert notebook is not None
    nbformat.validate(notebook)
    first, second = notebook.cells[1:]
    assert [output.get("text") for output in first.outputs] == ["seen\n", None]
    assert first.outputs[1].data["text/plain"] == "42"
    assert [first.execution_count, second.execution_count, second.outputs[0].execution_count] == [1, 2, 2]
    stamp = notebook.metadata["advprop"]
    assert set(stamp) == {"key", "commit", "date", "device", "seconds", "versions", "weights"}
    assert set(stamp["versions"]) == {"python", "torch", "timm", "numpy", "advprop"}

    again = run(project)
    assert again.returncode == 0
    assert again.stdout.startswith("cached  one.ipynb")
    assert "passed  " not in again.stdout
    assert run_with_changed_library(project).startswith("passed  one.ipynb")


def run_with_changed_library(project: Path) -> str:
    """Change the library and shorten the notebook, so that a new run can be told from the old."""
    (project / "advprop" / "norm.py").write_text("answer = 2\n")
    write(project, "1")
    return run(project).stdout


@pytest.mark.slow
def test_a_failing_notebook_publishes_nothing(project: Path) -> None:
    write(project, "1", "assert 1 + 1 == 3", "print('after')", prose="# Words")
    result = run(project)
    assert result.returncode == 1
    assert "FAILED  one.ipynb" in result.stdout
    assert "one.ipynb, cell 3 of 4, under 'Words': AssertionError: " in result.stdout
    assert "assert 1 + 1 == 3" in result.stdout
    assert "\x1b" not in result.stdout
    assert published(project) is None


@pytest.mark.slow
def test_a_red_run_withdraws_the_one_before_it(project: Path, tmp_path: Path) -> None:
    write(project, f"from pathlib import Path\nassert not Path({str(tmp_path / 'changed')!r}).exists()")
    assert run(project).returncode == 0
    assert published(project) is not None
    (tmp_path / "changed").touch()
    assert run(project, "--force").returncode == 1
    assert published(project) is None
    assert "cached" not in run(project).stdout


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_told(project: Path) -> None:
    write(project, "import time\ntime.sleep(30)", prose="# Words")
    script = project / "scripts" / "run_notebooks.py"
    script.write_text(script.read_text().replace("CELL_SECONDS = 300", "CELL_SECONDS = 2"))
    result = run(project)
    assert result.returncode == 1
    assert "one.ipynb, cell 2 of 2, under 'Words': longer than 2 seconds" in result.stdout


@pytest.mark.slow
def test_a_cell_for_a_gpu_is_skipped_without_one(project: Path) -> None:
    write(project, "1 / 0", tags=("gpu",))
    result = run(project)
    assert result.returncode == 0, result.stdout
    notebook = published(project)
    assert notebook is not None
    assert (notebook.cells[1].outputs, notebook.cells[1].execution_count) == ([], None)


def test_the_longest_begin_first(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [small.with_name(f"{name}.ipynb") for name in ("quick", "new", "slow")]
    for path, seconds in zip(paths, (2, None, 90), strict=True):
        shutil.copy(small, path)
        if seconds is not None:
            notebook_cache.store(path, notebook_cache.read(path), key="old", seconds=seconds)
    begun: list[str] = []

    def note(path: Path) -> tuple[bool, str]:
        begun.append(path.stem)
        return path.stem != "slow", ""

    monkeypatch.setattr(run_notebooks, "run_one", note)
    assert run_notebooks.run(paths, jobs=1) == 1
    assert begun == ["new", "slow", "quick"]


@pytest.fixture
def small(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The notebook of a small project, which the cache of this process looks at."""
    for name, place in {
        "ROOT": "",
        "NOTEBOOKS": "notebooks",
        "RUNS": ".cache/notebooks",
        "PACKAGE": "advprop",
    }.items():
        monkeypatch.setattr(notebook_cache, name, project / place)
    write(project, "1 + 1")
    return project / "notebooks" / "one.ipynb"


def key_of(path: Path) -> str:
    return notebook_cache.key_of(notebook_cache.read(path))


def code_digest(path: Path) -> str:
    return notebook_cache.code_digest(notebook_cache.read(path))


def test_prose_edits_keep_the_run_and_code_edits_do_not(small: Path) -> None:
    project = small.parent.parent
    before = key_of(small)
    write(project, "1 + 1", prose="Other words.")
    assert key_of(small) == before
    write(project, "1 + 2")
    assert key_of(small) != before
    write(project, "1 + 1", tags=("raises-exception",))
    assert key_of(small) != before


def test_prose_edits_reach_the_page_without_a_new_run(small: Path) -> None:
    project = small.parent.parent
    executed = notebook_cache.read(small)
    executed.cells[1].update(outputs=[v4.new_output("stream", text="2\n")], execution_count=1)
    notebook_cache.store(small, executed, key=key_of(small), seconds=1)
    write(project, "1 + 1", prose="Other words.")
    page = notebook_cache.read(notebook_cache.run_of(small))
    assert page.cells[0].source == "Other words."
    assert page.cells[1].outputs[0].text == "2\n"
    assert page.metadata["advprop"] == executed.metadata["advprop"]


def test_library_edits_and_other_versions_end_a_run(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = small.parent.parent
    keys = [key_of(small)]
    (project / "advprop" / "norm.py").write_text("answer = 2\n")
    keys.append(key_of(small))
    (project / "advprop" / "data_files").mkdir()
    (project / "advprop" / "data_files" / "x.safetensors").write_bytes(b"0")
    keys.append(key_of(small))
    (project / "docs" / "models").mkdir(parents=True)
    page = project / "docs" / "models" / "x.md"
    page.write_text("Words.\n<!--\nType: model-index\n-->\n")
    keys.append(key_of(small))
    monkeypatch.setattr(notebook_cache, "device_kind", lambda: "other")
    keys.append(key_of(small))
    for name, value in {"hub": lambda: "https://example.org", "libraries": lambda: {"torch": "0"}}.items():
        monkeypatch.setattr(notebook_cache, name, value)
        keys.append(key_of(small))
    assert len(set(keys)) == len(keys)


def test_an_edit_of_any_file_of_the_package_ends_every_run(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "advprop"
    shutil.copytree(root / "advprop", package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(notebook_cache, "PACKAGE", package)
    notebooks = [notebook_cache.NOTEBOOKS / name for name in NAMES]
    before = [code_digest(notebook) for notebook in notebooks]
    files = [path for path in package.rglob("*") if path.is_file()]
    assert len(files) > 60
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        after = [code_digest(notebook) for notebook in notebooks]
        assert not set(before) & set(after), file
        file.write_bytes(content)
    assert [code_digest(notebook) for notebook in notebooks] == before


def test_what_a_notebook_can_see_beside_the_package_is_in_its_key(small: Path) -> None:
    project = small.parent.parent
    keys = [key_of(small)]
    for name in ("notebooks/helper.py", "notebooks/data/x.csv", "snippets/x.py", "docs/templates/x.md"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("1")
        keys.append(key_of(small))
    (project / "notebooks" / "helper.py").write_text("2")
    keys.append(key_of(small))
    with (project / "notebooks" / "conftest.py").open("a") as file:
        file.write("\n")
    keys.append(key_of(small))
    assert len(set(keys)) == len(keys)
    (project / "notebooks" / "gpu").mkdir()
    (project / "notebooks" / "gpu" / "one.json").write_text("{}")
    (project / "notebooks" / "two.ipynb").write_text("{}")
    assert key_of(small) == keys[-1]


@pytest.mark.parametrize("page", ["---\nModels: {0}\n---\n{1}\n", "{1}\n<!--\nModels: {0}\n-->\n"])
def test_a_model_index_counts_wherever_it_stands_and_the_prose_does_not(small: Path, page: str) -> None:
    path = small.parent.parent / "docs" / "models" / "x.md"
    path.parent.mkdir(parents=True)
    path.write_text(page.format(1, "Words."))
    before = key_of(small)
    path.write_text(page.format(1, "Other words."))
    assert key_of(small) == before
    path.write_text(page.format(2, "Other words."))
    assert key_of(small) != before


def test_libraries_are_what_a_tutorial_can_import() -> None:
    found = surroundings.libraries()
    assert {
        "torch",
        "timm",
        "numpy",
        "advprop",
        "matplotlib",
        "onnxruntime",
        "ipykernel",
        "torchvision",
    } <= set(found)
    assert not {"ruff", "mypy", "uv", "mkdocs", "nbval", "pytest"} & set(found)


def test_other_weights_of_the_hub_end_a_run(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executed = notebook_cache.read(small)
    notebook_cache.store(small, executed, key=key_of(small), seconds=1)
    notebook_cache.run_of(small)
    monkeypatch.setattr(notebook_cache, "weights", lambda: {"timm/x@1/model.safetensors": "2"})
    with pytest.raises(notebook_cache.MissingRunError, match=r"with other code, libraries, weights"):
        notebook_cache.run_of(small)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 1}', "stamp", "cells"])
def test_a_kept_run_that_is_broken_or_older_is_named(small: Path, content: str) -> None:
    executed = notebook_cache.read(small)
    path = notebook_cache.store(small, executed, key=key_of(small), seconds=1)
    if content == "stamp":
        executed.metadata["advprop"] = {"key": key_of(small)}
        content = nbformat.writes(executed)
    elif content == "cells":
        executed.cells.pop()
        content = nbformat.writes(executed)
    path.write_text(content)
    with pytest.raises(notebook_cache.MissingRunError, match=r"one\.ipynb is broken"):
        notebook_cache.run_of(small)


def test_what_is_no_notebook_is_told_by_name(small: Path) -> None:
    small.write_text('{"cells": []')
    with pytest.raises(notebook_cache.NotebookError, match=r"one\.ipynb is not a notebook"):
        notebook_cache.read(small)


def test_ids_are_mended_when_read(small: Path) -> None:
    cells = [v4.new_code_cell("1", id=name) for name in "abc"]
    notebook = v4.new_notebook(cells=cells)
    cells[1]["id"] = "a"
    small.write_text(json.dumps(notebook))
    assert [cell.id for cell in notebook_cache.read(small).cells] == ["a", "cell-02", "c"]
    notebook.nbformat_minor = 4
    for cell in cells:
        del cell["id"]
    small.write_text(json.dumps(notebook))
    assert [cell.id for cell in notebook_cache.read(small).cells] == ["cell-01", "cell-02", "cell-03"]


@pytest.mark.parametrize("left", ["advprop/__pycache__", "snippets/.ruff_cache/0.9", "notebooks/.mypy_cache"])
def test_what_programs_leave_is_no_source(small: Path, left: str) -> None:
    before = key_of(small)
    folder = small.parent.parent / left
    folder.mkdir(parents=True)
    (folder / "left").write_bytes(b"0")
    assert key_of(small) == before


def test_a_missing_and_a_stale_run_say_what_to_do(small: Path) -> None:
    with pytest.raises(notebook_cache.MissingRunError, match=r"one\.ipynb has no passed run.*make notebooks"):
        notebook_cache.run_of(small)
    executed = notebook_cache.read(small)
    stored = notebook_cache.store(small, executed, key=key_of(small), seconds=1.23)
    assert notebook_cache.run_of(small) == stored
    assert notebook_cache.stamp_of(stored)["seconds"] == 1.2
    (small.parent.parent / "advprop" / "norm.py").write_text("answer = 3\n")
    with pytest.raises(notebook_cache.MissingRunError, match=r"with other code.*make notebooks"):
        notebook_cache.run_of(small)
