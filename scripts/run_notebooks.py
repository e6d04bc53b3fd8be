"""Run the tutorials whose code changed, through nbval: `python -m scripts.run_notebooks`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from scripts import notebook_cache

CELL_SECONDS = 120
# A wish of tqdm's for progress bars in notebooks; it would stand on the published page.
QUIET = {"PYTHONWARNINGS": "ignore:IProgress not found"}


def main() -> int:
    """Run what is stale, say what is not, and return pytest's exit status."""
    parser = argparse.ArgumentParser(description="Run the tutorials whose code changed.")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    parser.add_argument("--force", action="store_true", help="run all, whatever changed")
    arguments = parser.parse_args()
    stale = [path for path in notebooks() if arguments.force or not is_fresh(path)]
    return run(stale, jobs=arguments.jobs) if stale else 0


def notebooks() -> list[Path]:
    """Return the tutorials in their order."""
    return sorted(notebook_cache.NOTEBOOKS.glob("*.ipynb"))


def is_fresh(notebook: Path) -> bool:
    """Tell whether the stored run is of today's code, and if so, say so."""
    try:
        stamp = notebook_cache.stamp_of(notebook_cache.run_of(notebook))
    except notebook_cache.MissingRunError:
        return False
    print(f"cached  {notebook.name}  (passed {stamp['date']}, {stamp['seconds']:.0f} s, {stamp['device']})")
    return True


def run(paths: list[Path], *, jobs: int) -> int:
    """Run notebooks through nbval, whole files side by side, and return pytest's exit status."""
    nbval = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    parallel = ["-n", str(min(jobs, len(paths))), "--dist", "loadfile"] if min(jobs, len(paths)) > 1 else []
    command = [sys.executable, "-m", "pytest", *nbval, *parallel, *map(str, paths)]
    environment = os.environ | QUIET
    return subprocess.run(command, cwd=notebook_cache.ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # pytest has said so
        sys.exit(130)
