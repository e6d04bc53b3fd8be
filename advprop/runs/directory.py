"""The directory of a run: its recipe, its metrics, its checkpoints."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advprop.data import Division, read_division
from advprop.recipes import RECIPE_FILE, Recipe, make_recipe
from advprop.runs.checkpoints import CheckpointError, Checkpoints
from advprop.runtime import NO_JOB, Job, patiently

RECIPE = RECIPE_FILE
METRICS = "metrics.jsonl"
RESULTS = "results.json"
DIVISION = "division.json"
STOPPED = "stopped"
JOB = "job"
# The data that are the same wherever they are, by name; all others are a folder or an archive somewhere.
_NAMED = ("digits", "torch", "hfds", "wds")
# Settings that a run may be resumed with others of.
_FREE = (
    *("data_dir", "download", "workers", "prefetch_factor", "persistent_workers"),
    *("keep", "test_batch_size", "grad_checkpointing", "separate_passes"),
)


@dataclass(frozen=True)
class Run:
    """A training run on the disk.

    Args:
        directory: Where its files are.
    """

    directory: Path

    @property
    def recipe(self) -> Recipe:
        """Its recipe: that which it began with, but for settings that it was resumed with others of.

        Raises:
            ValueError: If the directory is not one of a run.
        """
        self.check()
        return make_recipe(self.recipe_file)

    def check(self) -> None:
        """Raises ValueError if the directory is not one of a run."""
        if not self.recipe_file.is_file():
            raise ValueError(f"{self.directory} is not the directory of a run: it has no {RECIPE}")

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        return Checkpoints(directory=self.directory / "checkpoints", keep=self.recipe.keep)

    @property
    def recipe_file(self) -> Path:
        """Where its recipe is written."""
        return self.directory / RECIPE

    def keep_stopped(self, state: Mapping[str, Any], step: int) -> Path:
        """Keeps the state that a run could not go on from, where neither `--resume` nor pruning looks.

        Raises:
            CheckpointError: If it cannot be written.
        """
        return Checkpoints(directory=self.directory / STOPPED, keep=1).save(state, step)

    def is_of(self, job: Job) -> bool:
        """Whether this job, which was started again, began the run or went on with it."""
        path = self.directory / JOB
        return job.restarted and path.is_file() and path.read_text(encoding="utf-8").strip() == job.name

    def begin(
        self, recipe: Recipe, resume: bool, job: Job = NO_JOB, division: Division | None = None
    ) -> None:
        """Makes the directory and writes the recipe, or checks that the run there is the same.

        Args:
            recipe: The recipe.
            resume: Whether to go on with a run that is there.
            job: torchrun's job; when it is started again, it goes on with the run.
            division: Of a folder without splits; the run keeps to it when images are added.

        Raises:
            ValueError: If there is a run already that is not to be resumed, or has another recipe.
            CheckpointError: If the directory cannot be written to.
        """
        if self.recipe_file.exists():
            if not resume and not self.is_of(job):
                raise ValueError(
                    f"there is a run in {self.directory} already; "
                    "go on with it (--resume), or choose another directory (--out)"
                )
            if changed := differences(self.recipe, recipe):
                raise ValueError(
                    f"the run in {self.directory} has another recipe ({changed}); resume it with its own "
                    f"(--recipe {self.recipe_file}), or choose another directory (--out)"
                )
        with writing(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        if job.name:
            replace_text(self.directory / JOB, f"{job.name}\n")
        if not self.recipe_file.exists():
            replace_text(self.recipe_file, recipe.to_yaml())
        if division is not None and not (self.directory / DIVISION).exists():
            replace_text(self.directory / DIVISION, json.dumps(vars(division), indent=1) + "\n")

    def division(self) -> Division | None:
        """Which images of a folder without splits are for training and for testing; None for other data."""
        path = self.directory / DIVISION
        return read_division(path) if path.is_file() else None

    def keep_recipe(self, recipe: Recipe) -> None:
        """Writes the settings that the run was resumed with."""
        if self.recipe != recipe:
            replace_text(self.recipe_file, recipe.to_yaml())

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of the metrics; a last line that was cut off is left out.

        Raises:
            ValueError: If another line is damaged.
        """
        path = self.directory / METRICS
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        lines = text.split("\n")[:-1]
        return [_record(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Writes what came out of the run."""
        replace_text(self.directory / RESULTS, json.dumps(results, indent=2) + "\n")

    def results(self) -> dict[str, Any] | None:
        """What came out of the run; None if it is not finished."""
        path = self.directory / RESULTS
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _record(line: str, where: str) -> dict[str, Any]:
    """What a line of the metrics says."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"step", "epoch"} <= found.keys():
        raise ValueError(
            f"{where}: a record must be JSON with a step and an epoch, got {line[:40]!r}; delete the line"
        )
    return found


def replace_text(path: Path, text: str) -> None:
    """Writes a file of which there is never a part: the old one stays until the new one is whole.

    Raises:
        CheckpointError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        partial.write_text(text, encoding="utf-8")
        patiently(lambda: partial.replace(path))


def write_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes the rows of a table, the names of its columns first, as CSV; see `replace_text`."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    replace_text(path, table.getvalue())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises CheckpointError if what is written to a path inside cannot be."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error


def differences(before: Recipe, now: Recipe) -> str:
    """In which settings that results depend on two recipes differ: `lr: 0.1, now 0.2`; empty if in none."""
    free = {*_FREE, "data"} if _is_somewhere(before.data) and _is_somewhere(now.data) else _FREE
    pairs = {name: (getattr(before, name), getattr(now, name)) for name in vars(now) if name not in free}
    return ", ".join(f"{name}: {a!r}, now {b!r}" for name, (a, b) in pairs.items() if a != b)


def _is_somewhere(data: str) -> bool:
    """Whether data are named by where they are, and so can have moved."""
    is_name = data.partition("/")[0].lower() in _NAMED
    return not is_name or (data != "digits" and Path(data).expanduser().exists())


def choose_directory(recipe: Recipe, resume: bool, job: Job = NO_JOB, root: Path | str = "runs") -> Path:
    """Where a run goes that was not told: `runs/digits-advprop`, then `runs/digits-advprop-2` and so on.

    Args:
        recipe: The recipe of the run.
        resume: Whether to take the latest run of this recipe, if there is one.
        job: torchrun's job; when it is started again, the latest run of this recipe that is its own is taken.
        root: Where runs are.
    """
    word = "".join(c if c.isalnum() else "-" for c in f"{recipe.data}-{recipe.method}").strip("-")
    paths = [Path(root, word), *(Path(root, f"{word}-{number}") for number in range(2, 10_000))]
    taken = [path for path in paths if path.exists()]
    own = [path for path in taken if (path / RECIPE).exists() and (resume or Run(path).is_of(job))]
    if same := [path for path in own if not differences(Run(path).recipe, recipe)]:
        return same[-1]
    return next(path for path in paths if path not in taken)
