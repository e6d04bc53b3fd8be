"""Run the tutorials whose code changed, through nbval: `python -m scripts.run_notebooks`."""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from math import inf
from pathlib import Path

from tqdm import tqdm

from scripts import notebook_cache
from scripts.surroundings import ROOT

CELL_SECONDS = 300  # to compile a network for a GPU takes minutes


def main() -> int:
    """Run what is stale, say what is not, and return the exit status."""
    parser = argparse.ArgumentParser(description="Run the tutorials whose code changed.")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    parser.add_argument("--force", action="store_true", help="run all, whatever changed")
    arguments = parser.parse_args()
    stale = [path for path in notebook_cache.tutorials() if arguments.force or not is_fresh(path)]
    return run(stale, jobs=arguments.jobs) if stale else 0


def is_fresh(notebook: Path) -> bool:
    """Tell whether the stored run is of today's code, and if so, say so."""
    try:
        stamp = notebook_cache.stamp_of(notebook_cache.run_of(notebook))
    except (notebook_cache.MissingRunError, notebook_cache.NotebookError):  # nbval will say what is wrong
        return False
    print(f"cached  {notebook.name}  (passed {stamp['date']}, {stamp['seconds']:.0f} s, {stamp['device']})")
    return True


def run(paths: list[Path], *, jobs: int) -> int:
    """Run notebooks, several at a time and the longest first, and return the exit status."""
    waiting = sorted(paths, key=expected_seconds, reverse=True)
    failed = False
    with ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(run_one, path) for path in waiting]
        try:
            for finished in tqdm(as_completed(runs), "tutorials", total=len(runs), disable=None):
                passed, told = finished.result()
                failed = failed or not passed
                tqdm.write(told)
        except KeyboardInterrupt:  # those that run have got it, too
            pool.shutdown(cancel_futures=True)
            raise
    return int(failed)


def expected_seconds(notebook: Path) -> float:
    """Return how long the last run that passed took, of whatever code; the longest where there was none."""
    return float(notebook_cache.stamp_of(notebook_cache.RUNS / notebook.name).get("seconds", inf))


def run_one(notebook: Path) -> tuple[bool, str]:
    """Run a notebook through nbval; return whether it passed, and what to tell of it."""
    nbval = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    plain = ["-x", "-q", "-rN", "--color=no"]
    command = [sys.executable, "-m", "pytest", *nbval, *plain, str(notebook)]
    begun = time.perf_counter()
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    seconds = f"{time.perf_counter() - begun:.0f} s"
    if result.returncode == 0:
        return True, f"passed  {notebook.name}  ({seconds})"
    notebook_cache.withdraw(notebook)
    return False, f"FAILED  {notebook.name}  ({seconds})\n{result.stdout}{result.stderr}".rstrip()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # the shell has seen it
        sys.exit(130)
