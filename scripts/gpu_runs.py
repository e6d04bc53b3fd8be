"""The last run of each tutorial on a GPU, kept in `notebooks/gpu/`, since not every machine has one.

`make gpu` runs the tutorials on a machine with a GPU, then calls `python -m scripts.gpu_runs`: it keeps what
came out of each cell there, and when, where and in what time. The files are committed, and the tutorials'
pages show those outputs beside those of the processor.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from scripts import install_cell, notebook_cache
from scripts.surroundings import ROOT, device_kind, read_record

# What a run depends on, as it is told.
_PARTS = {"cells": "its cells", "package": "the package"}


@dataclass(frozen=True)
class GpuRun:
    """What is kept of a run on a GPU.

    Attributes:
        stamp: Commit, date, device, seconds of the whole notebook, versions.
        outputs: What came out of each code cell, by the cell's id.
        changed: What has changed since: the cells of the notebook, the package, both or nothing.
    """

    stamp: dict[str, Any]
    outputs: dict[str, list[Any]]
    changed: tuple[str, ...]


def digests(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return digests of the notebook's code cells, without that which installs, and of the package."""
    cells = [(cell.source, sorted(notebook_cache.tags_of(cell))) for cell in install_cell.others(notebook)]
    sources = {"cells": cells, "package": notebook_cache.package_sources()}
    return {part: notebook_cache.digest(source) for part, source in sources.items()}


def path_of(notebook: Path) -> Path:
    """Return where the last run of a notebook on a GPU is kept."""
    return notebook_cache.NOTEBOOKS / "gpu" / f"{notebook.stem}.json"


def last_run(notebook: Path) -> GpuRun | None:
    """Return the last run of a notebook on a GPU, if there has been one."""
    found = read_record(path_of(notebook), None)
    if found is None:
        return None
    outputs = {name: list(map(nbformat.from_dict, some)) for name, some in found["outputs"].items()}
    now = digests(notebook_cache.read(notebook))
    changed = tuple(told for part, told in _PARTS.items() if found[part] != now[part])
    return GpuRun(found["stamp"], outputs, changed)


def keep(notebook: Path) -> Path:
    """Keep the passed run of a notebook, which was on this machine's GPU.

    Raises:
        MissingRunError: if the notebook has no passed run of today's code.
    """
    executed = notebook_cache.read(notebook_cache.run_of(notebook))
    own = ("key", "weights")
    stamp = {name: value for name, value in executed.metadata["advprop"].items() if name not in own}
    outputs = {cell.id: cell.outputs for cell in install_cell.others(executed) if cell.outputs}
    run = {"stamp": stamp, "outputs": outputs, **digests(executed)}
    path = path_of(notebook)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
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
