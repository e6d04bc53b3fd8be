"""The records of a run, for whoever reads them: `metrics.jsonl`, `epochs.csv`, TensorBoard, Weights & Biases.

`metrics.jsonl` is what is true; all else is made from it, so that a resumed run leaves no point twice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from advprop.recipes import Recipe
from advprop.runs.directory import METRICS, Run, replace_text, write_table, writing
from advprop.runtime import need_extra

Line: TypeAlias = Mapping[str, Any]
Log: TypeAlias = Literal["tensorboard", "wandb"]

EPOCHS = "epochs.csv"
TESTED = ("test_top1_percent", "test_top5_percent", "test_loss")
_PROJECT = "advprop"


def tag(name: str) -> str:
    """The name of a metric in groups, as TensorBoard and W&B show them: `train/loss`, `test/top1_percent`."""
    return f"test/{name.removeprefix('test_')}" if name.startswith("test_") else f"train/{name}"


class TensorBoard:
    """Event files in `tensorboard/` of the run; they are written anew when a run is resumed."""

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        need_extra("tensorboard")
        self.folder: Path = directory / "tensorboard"
        self.recipe = recipe
        self.writer: Any = None

    def begin(self) -> None:
        """Starts, or starts again; what is known already is written next."""
        from torch.utils.tensorboard import SummaryWriter

        self.close(failed=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.writer = SummaryWriter(str(self.folder))
        self.writer.add_text("recipe", f"```yaml\n{self.recipe.to_yaml()}```")

    def write(self, line: Line) -> None:
        """Takes one more line."""
        for name in line.keys() - {"step"}:
            self.writer.add_scalar(tag(name), line[name], line["step"])
        self.writer.flush()

    def close(self, failed: bool) -> None:
        """Ends, by an error or not."""
        if self.writer is not None:
            self.writer.close()


class WandB:
    """A run of Weights & Biases; `WANDB_MODE`, `WANDB_PROJECT` and its other variables hold.

    What it was sent stays, so a resumed run goes on with the first line that was not: `wandb.json` in the
    run's directory has the run's id and their number.
    """

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        need_extra("wandb")
        self.directory = directory
        self.recipe = recipe
        self.run: Any = None
        self.number: int = 0  # of the next line
        self.sent: int = 0

    def begin(self) -> None:
        """Starts, or starts again; what is known already is written next."""
        if self.run is None:
            self._start()
        self.number = 0

    def write(self, line: Line) -> None:
        """Takes one more line, if it was not sent before."""
        if self.number >= self.sent:
            values = {tag(name): value for name, value in line.items() if name != "step"}
            self.run.log(values, step=line["step"])
            self.sent = self.number + 1
            self._note()
        self.number += 1

    def close(self, failed: bool) -> None:
        """Ends the run there; `failed` if it ended by an error."""
        if self.run is not None:
            self.run.finish(exit_code=int(failed))

    def _start(self) -> None:
        import wandb

        path = self.directory / "wandb.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.sent = known.get("sent", 0)
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", _PROJECT),
                name=self.directory.name,
                id=known.get("id"),
                resume="allow",
                dir=str(self.directory),
                config=vars(self.recipe),
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.Error as error:
            raise ValueError(f"W&B: {error}; WANDB_MODE=offline keeps the records here") from error
        self._note()

    def _note(self) -> None:
        known = {"id": self.run.id, "sent": self.sent}
        replace_text(self.directory / "wandb.json", json.dumps(known) + "\n")


_WRITERS: Mapping[Log, type[TensorBoard] | type[WandB]] = {"tensorboard": TensorBoard, "wandb": WandB}


class Journal:
    """The records of a run under way; a context manager.

    Args:
        run: The run.
        recipe: Its recipe.
        logs: What is written beside the files of the run.

    Raises:
        MissingExtraError: If a package is missing that one of them needs.
    """

    def __init__(self, run: Run, recipe: Recipe, logs: Sequence[Log] = ()) -> None:
        self.run = run
        self.writers: list[TensorBoard | WandB] = [_WRITERS[log](run.directory, recipe) for log in logs]
        self.lines: list[Line] = []

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for writer in self.writers:
            writer.close(failed=error is not None)

    def begin(self, step: int, tested: bool = True) -> None:
        """Forgets what was recorded of steps and tests that a resumed run takes again.

        Args:
            step: The step that the run goes on from.
            tested: Whether the test after this step counts; if not, it is taken again.
        """
        last = (step, tested)
        self.lines = [line for line in self.run.metrics() if (line["step"], is_test(line)) <= last]
        kept = "".join(json.dumps(line) + "\n" for line in self.lines)
        replace_text(self.run.directory / METRICS, kept)
        for writer in self.writers:
            writer.begin()
            for line in self.lines:
                writer.write(line)
        self.end_epoch()

    def record(self, **values: float) -> None:
        """Writes the values of a step."""
        path = self.run.directory / METRICS
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        self.lines.append(values)
        for writer in self.writers:
            writer.write(values)

    def end_epoch(self) -> None:
        """Writes the table of the epochs that are whole."""
        rows = summary(self.lines)
        table = [list(rows[0]), *([row.get(head, "") for head in rows[0]] for row in rows)] if rows else []
        write_table(self.run.directory / EPOCHS, table)


def is_test(line: Line) -> bool:
    """Whether a line of the metrics holds the result of a test; the others hold losses."""
    return "loss" not in line


def summary(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """A row for each whole epoch of the metrics: means of the losses over its steps, else what was last.

    Args:
        lines: Lines of the metrics.
    """
    rows: list[dict[str, Any]] = []
    sums: dict[str, float] = {}
    first = before = 0
    for line in lines:
        if is_test(line):  # after the last step of the epoch, whose own line may have been lost
            if not rows or rows[-1]["step"] != line["step"]:
                continue
            rows[-1] |= {name: value for name, value in line.items() if name in TESTED}
            continue
        for name in (name for name in line if name.startswith("loss")):
            sums[name] = sums.get(name, 0.0) + (line["step"] - before) * line[name]
        before = line["step"]
        if float(line["epoch"]).is_integer():
            means = {name: total / (before - first) for name, total in sums.items()}
            rows.append({**line, **means, "epoch": int(line["epoch"]), **dict.fromkeys(TESTED, "")})
            sums, first = {}, before
    return rows
