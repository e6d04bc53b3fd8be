"""The tested run of each notebook: kept under a key, looked up by the site.

`notebooks/` holds the tutorials without outputs. When nbval has passed all cells of one,
`notebooks/conftest.py` stores the executed notebook here, and the site publishes exactly that. The key covers
what can change an output: code cells and their tags, every file of the package with its data and weights, the
model indices, versions of numeric libraries and of Python, the kind of device. So prose edits re-run nothing,
and an edit of the library re-runs every tutorial.
"""

import hashlib
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / ".cache" / "notebooks"
PACKAGE = ROOT / "advprop"


class MissingRunError(LookupError):
    """A notebook has no passed run, or only one of older code."""


def key_of(notebook: Path) -> str:
    """Return the key under which a run of this notebook is valid, as 64 hexadecimal digits."""
    return digest([code_digest(notebook), versions(), device_kind()])


def code_digest(notebook: Path) -> str:
    """Return a digest of what a notebook runs: its code and tags, the package, the model indices."""
    code = [(cell.source, cell.metadata.get("tags", [])) for cell in code_cells(read(notebook))]
    return digest([code, sources(), model_indices()])


def digest(parts: Any) -> str:
    """Return a digest of what JSON can hold, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook in format 4."""
    notebook: nbformat.NotebookNode = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
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
    """Return a digest of every file of the package, by its path."""
    files = sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {
        path.relative_to(PACKAGE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def model_indices() -> list[str]:
    """Return a digest of the model index of every model page; the prose around it is for readers."""
    pages = sorted((ROOT / "docs" / "models").glob("*.md"))
    texts = [page.read_text(encoding="utf-8") for page in pages]
    return [digest(text[max(text.rfind("<!--"), 0) :]) for text in texts]


def versions() -> dict[str, str]:
    """Return the versions that a run is stamped with."""
    libraries = {name: version(name) for name in ("torch", "timm", "numpy", "advprop")}
    return {"python": platform.python_version(), **libraries}


@cache
def device_kind() -> str:
    """Return "cuda" where torch sees a GPU, else "cpu"."""
    import torch  # slow to import, and only needed here

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(kind: str | None = None) -> str:
    """Return the device in words, for the stamp; by default that which `device_kind` names."""
    import torch

    if (kind or device_kind()) == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"


def circumstances(kind: str | None = None) -> dict[str, Any]:
    """Return when, where and with what something is measured now, on a device of this kind."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "device": device_name(kind),
        "versions": versions(),
    }


def commit() -> str:
    """Return the commit that is checked out, with "-dirty" after it where files differ from it."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    result = subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def store(notebook: Path, executed: nbformat.NotebookNode, *, key: str, seconds: float) -> Path:
    """Keep an executed notebook, stamped, as the passed run of `notebook`; `key` is from before the run."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    stamp = circumstances() | {"date": now, "key": key, "seconds": round(seconds, 1)}
    executed.metadata["advprop"] = stamp
    path = RUNS / notebook.name
    write(path, executed)
    return path


def stamp_of(run: Path) -> dict[str, Any]:
    """Return the stamp of a stored run: key, commit, date, device, seconds, versions."""
    stamp: dict[str, Any] = read(run).metadata.get("advprop", {})
    return stamp


def run_of(notebook: Path) -> Path:
    """Return the executed notebook that passed with today's code, in today's words.

    Raises:
        MissingRunError: if there is none, or one with other code, package, libraries or device.
    """
    path = RUNS / notebook.name
    if not path.is_file():
        raise MissingRunError(f"{notebook.name} has no passed run. Run it: make notebooks")
    executed = read(path)
    if executed.metadata.get("advprop", {}).get("key") != key_of(notebook):
        raise MissingRunError(
            f"{notebook.name} was last run with other code, libraries or device. Run it again: make notebooks"
        )
    reworded = read(notebook)
    reworded.metadata["advprop"] = executed.metadata["advprop"]
    for cell, run in zip(code_cells(reworded), code_cells(executed), strict=True):
        cell.update(outputs=run.outputs, execution_count=run.execution_count)
    if reworded != executed:
        write(path, reworded)
    return path


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells of a notebook, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
