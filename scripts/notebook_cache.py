"""The tested run of each notebook: kept under a key, looked up by the site.

`notebooks/` holds the tutorials without outputs. When nbval has passed all cells of one,
`notebooks/conftest.py` stores the executed notebook here, and the site publishes exactly that. The key covers
what a run can see: code cells and their tags, every file of the package, snippets, templates, the data of
model pages, what lies beside the notebook, the versions of Python and of every library, the kind of device,
the hub that answers. So prose edits re-run nothing, and an edit of the library re-runs every tutorial.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from scripts.surroundings import ROOT, circumstances, device_kind, hub, libraries, weights

NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / ".cache" / "notebooks"
PACKAGE = ROOT / "advprop"
# Tags of cells.
GPU = "gpu"  # is run where there is a GPU only
NOT_RUN = "nbval-skip"  # is not run
MAY_FAIL = "raises-exception"  # is meant to fail
SOLUTION = "solution"  # solves an exercise; pages fold it
SHOWS_STDERR = "shows-stderr"  # is meant to write on the standard error
# Front matter and comments: a model index stands in either.
_DATA_OF_A_PAGE = re.compile(r"\A---$.*?^---$|<!--.*?-->", re.DOTALL | re.MULTILINE)
_MACHINERY = ("tutorial_run.py", "surroundings.py", "shell.sh")
_STAMP = {"key", "commit", "date", "device", "seconds", "versions", "weights"}


class NotebookError(ValueError):
    """What is no notebook, or one that must not be published; the message is one line that names it."""


class MissingRunError(LookupError):
    """A notebook has no passed run, or only one of older code."""


def key_of(notebook: nbformat.NotebookNode) -> str:
    """Return the key under which a run of this notebook is valid, as 64 hexadecimal digits."""
    return digest([code_digest(notebook), libraries(), platform.python_version(), device_kind(), hub()])


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Return a digest of what a notebook runs: its code and tags, and every file that it can see."""
    code = [(cell.source, sorted(tags_of(cell))) for cell in code_cells(notebook)]
    return digest([code, sources(), model_indices()])


def digest(parts: Any) -> str:
    """Return a digest of what JSON can hold, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook in format 4; cells without an id of their own get one by their place.

    Raises:
        NotebookError: If it is none.
    """
    try:
        notebook: nbformat.NotebookNode = nbformat.reader.reads(path.read_text(encoding="utf-8"))
        notebook = nbformat.convert(notebook, 4) if notebook.nbformat < 4 else notebook
        notebook.nbformat_minor = max(5, notebook.nbformat_minor)
        taken: set[str] = set()
        for number, cell in enumerate(notebook.cells, start=1):
            cell.id = cell["id"] if cell.get("id") and cell["id"] not in taken else f"cell-{number:02}"
            taken.add(cell.id)
        nbformat.validate(notebook)
    except (AttributeError, ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise NotebookError(f"{path.name} is not a notebook: {str(error).splitlines()[0]}") from error
    return notebook


def write(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook in one step, so that no reader finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(nbformat.writes(notebook), encoding="utf-8")
    unfinished.replace(path)


def tutorials() -> list[Path]:
    """Return the notebooks in their order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def sources() -> dict[str, str]:
    """Return a digest of every file that a notebook can see, by its path."""
    files = [path for path in files_in(NOTEBOOKS) if path.suffix != ".ipynb"]
    files += [path for path in (ROOT / "scripts" / name for name in _MACHINERY) if path.is_file()]
    files += [*files_in(ROOT / "snippets"), *files_in(ROOT / "docs" / "templates")]
    seen = (path for path in files if not path.is_relative_to(NOTEBOOKS / "gpu"))
    return package_sources() | {path.relative_to(ROOT).as_posix(): _digest_of(path) for path in seen}


def package_sources() -> dict[str, str]:
    """Return a digest of every file of the package, by its path in it."""
    return {f"advprop/{path.relative_to(PACKAGE).as_posix()}": _digest_of(path) for path in files_in(PACKAGE)}


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_in(folder: Path) -> Iterable[Path]:
    """Return the files below a folder in their order, without those that programs leave there."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part == "__pycache__" or part[0] == "." for part in path.relative_to(folder).parts)
    )


def model_indices() -> list[str]:
    """Return a digest of the model index of every model page; the prose around it is for readers."""
    pages = sorted((ROOT / "docs" / "models").glob("*.md"))
    return [digest(_DATA_OF_A_PAGE.findall(page.read_text(encoding="utf-8"))) for page in pages]


def store(notebook: Path, executed: nbformat.NotebookNode, *, key: str, seconds: float) -> Path:
    """Keep an executed notebook, stamped, as the passed run of `notebook`; `key` is from before the run."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    stamp = circumstances() | {"date": now, "key": key, "seconds": round(seconds, 1), "weights": weights()}
    executed.metadata["advprop"] = stamp
    path = RUNS / notebook.name
    write(path, executed)
    return path


def withdraw(notebook: Path) -> None:
    """Forget the passed run of a notebook, which has failed since."""
    (RUNS / notebook.name).unlink(missing_ok=True)


def stamp_of(run: Path) -> dict[str, Any]:
    """Return the stamp of a stored run: key, commit, date, device ...; empty if it is broken."""
    try:
        stamp: dict[str, Any] = read(run).metadata.get("advprop", {})
    except (OSError, NotebookError):
        return {}
    return stamp if stamp.keys() >= _STAMP else {}


def run_of(notebook: Path) -> Path:
    """Return the executed notebook that passed with today's code, in today's words.

    Raises:
        MissingRunError: if there is none, or one with other code, package, libraries, device or weights.
        NotebookError: If the notebook is none.
    """
    path, written = RUNS / notebook.name, read(notebook)
    again = "Run it again: make notebooks"
    if not path.is_file():
        raise MissingRunError(f"{notebook.name} has no passed run. Run it: make notebooks")
    stamp = stamp_of(path)
    if not stamp:
        raise MissingRunError(f"the kept run of {notebook.name} is broken, or of an older layout. {again}")
    if stamp["key"] != key_of(written) or stamp["weights"] != weights():
        raise MissingRunError(
            f"{notebook.name} was last run with other code, libraries, weights or device. {again}"
        )
    executed = read(path)
    if [cell.source for cell in code_cells(executed)] != [cell.source for cell in code_cells(written)]:
        raise MissingRunError(f"the kept run of {notebook.name} is broken. {again}")
    written.metadata["advprop"] = stamp
    for cell, run in zip(code_cells(written), code_cells(executed), strict=True):
        cell.update(outputs=run.outputs, execution_count=run.execution_count)
    if written != executed:
        write(path, written)
    return path


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells of a notebook, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags_of(cell: nbformat.NotebookNode) -> set[str]:
    """Return the tags of a cell."""
    return set(cell.metadata.get("tags", []))
