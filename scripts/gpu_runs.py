"""The last run of each tutorial on a GPU, kept in `notebooks/gpu/`, since not every machine has one.

`make gpu` runs the tutorials on a machine with a GPU, then calls `python -m scripts.gpu_runs`: it keeps what
came out of each cell there, and when, where and in what time. The files are committed, and the tutorials'
pages show those outputs beside those of the processor.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat

from scripts import install_cell, notebook_cache
from scripts.surroundings import ROOT, device_kind


@dataclass(frozen=True)
class GpuRun:
    """What is kept of a run on a GPU.

    Attributes:
        stamp: Commit, date, device, seconds of the whole notebook, versions.
        cells: The digest of the cells that ran.
        package: The digest of the package that they ran with.
        outputs: What came out of each code cell, by the cell's id.
    """

    stamp: dict[str, Any]
    cells: str
    package: str
    outputs: dict[str, list[Any]]

    def changed_since(self, notebook: nbformat.NotebookNode) -> tuple[str, ...]:
        """Return what has changed since: the cells of the notebook, the package, both or nothing."""
        now = {"its cells": digest_of(notebook), "the package": package_digest()}
        return tuple(
            what for what, was in zip(now, (self.cells, self.package), strict=True) if now[what] != was
        )


def digest_of(notebook: nbformat.NotebookNode) -> str:
    """Return a digest of the code cells of a notebook, without that which installs."""
    cells = install_cell.others(notebook)
    return notebook_cache.digest([(cell.source, sorted(notebook_cache.tags_of(cell))) for cell in cells])


def package_digest() -> str:
    """Return a digest of every file of the package."""
    return notebook_cache.digest(notebook_cache.package_sources())


def is_gpu_cell(cell: nbformat.NotebookNode) -> bool:
    """Tell whether a cell is run where there is a GPU only."""
    return notebook_cache.GPU in notebook_cache.tags_of(cell)


def path_of(notebook: Path) -> Path:
    """Return where the last run of a notebook on a GPU is kept."""
    return notebook_cache.NOTEBOOKS / "gpu" / f"{notebook.stem}.json"


def last_run(notebook: Path) -> GpuRun | None:
    """Return the last run of a notebook on a GPU, if there has been one."""
    path = path_of(notebook)
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found["outputs"] = {name: list(map(nbformat.from_dict, some)) for name, some in found["outputs"].items()}
    return GpuRun(**found)


def keep(notebook: Path) -> Path:
    """Keep the passed run of a notebook, which was on this machine's GPU.

    Raises:
        MissingRunError: if the notebook has no passed run of today's code.
    """
    executed = notebook_cache.read(notebook_cache.run_of(notebook))
    own = ("key", "weights")
    stamp = {name: value for name, value in executed.metadata["advprop"].items() if name not in own}
    outputs = {cell.id: cell.outputs for cell in install_cell.others(executed) if cell.outputs}
    run = GpuRun(stamp, digest_of(executed), package_digest(), outputs)
    path = path_of(notebook)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(run), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def main() -> int:
    """Keep all passed runs, say which are missing, and return the exit status."""
    if device_kind() != "cuda":
        told = "runs on a GPU can be kept on a machine with one only; torch sees none here"
        print(f"error: {told}", file=sys.stderr)
        return 1
    status = 0
    for notebook in notebook_cache.tutorials():
        try:
            print(f"kept    {keep(notebook).relative_to(ROOT)}")
        except notebook_cache.MissingRunError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
