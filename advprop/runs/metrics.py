"""The records of a run, for whoever reads them: `metrics.jsonl`, `epochs.csv`, TensorBoard, Weights & Biases.

`metrics.jsonl` is what is true; all else is made from it, so that a resumed run leaves no point twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from advprop.recipes import Recipe
from advprop.runs.directory import TESTED, Run, is_test
from advprop.runs.loggers import Line, TensorBoard, WandB

Log: TypeAlias = Literal["tensorboard", "wandb"]

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
        """Forgets what was recorded of later steps, which are taken again; see `Run.forget_after`."""
        self.lines = [*self.run.forget_after(step, tested)]
        for writer in self.writers:
            writer.begin(self.lines)
        self.end_epoch()

    def record(self, **values: float) -> None:
        """Writes the values of a step."""
        self.run.record(**values)
        self.lines.append(values)
        for writer in self.writers:
            writer.write(values)

    def end_epoch(self) -> None:
        """Writes the table of the epochs that are whole."""
        self.run.write_epochs(summary(self.lines))


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
