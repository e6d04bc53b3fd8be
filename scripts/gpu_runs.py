"""The last run of each tutorial on a GPU, kept in `notebooks/gpu/`, since not every machine has one.

`make gpu` runs the tutorials on a machine with a GPU, then calls `python -m scripts.gpu_runs`: it keeps how
long each took there, and what came out of the cells with the tag `gpu`. The files are committed.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nbformat

from scripts import notebook_cache
from scripts.surroundings import ROOT, device_kind


@dataclass(frozen=True)
class GpuRun:
    """What is kept of a run on a GPU.

    Attributes:
        stamp: Commit, date, device, seconds of the whole notebook, versions.
        code: The digest of the code that ran.
        outputs: What came out of each cell with the tag `gpu`, by the cell's id.
    """

    stamp: dict[str, Any]
    code: str
    outputs: dict[str, list[Any]]


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
    cells = [cell for cell in notebook_cache.code_cells(executed) if is_gpu_cell(cell)]
    run = GpuRun(stamp, notebook_cache.code_digest(executed), {cell.id: cell.outputs for cell in cells})
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
