"""TensorBoard and Weights & Biases, fed with the metrics of a run."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from advprop.recipes import Recipe
from advprop.runs.directory import replace_text
from advprop.runtime import need_extra

Line: TypeAlias = Mapping[str, Any]

_PROJECT = "advprop"


def tag(name: str) -> str:
    """The name of a metric in groups, as TensorBoard and W&B show them: `train/loss`, `test/top1_percent`."""
    return f"test/{name.removeprefix('test_')}" if name.startswith("test_") else f"train/{name}"


class TensorBoard:
    """Event files in `tensorboard/` of the run; they are written anew when a run is resumed.

    Args:
        directory: The run's.
        recipe: The run's.
    """

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        need_extra("tensorboard")
        self.folder: Path = directory / "tensorboard"
        self.recipe = recipe
        self.writer: Any = None

    def begin(self, lines: Sequence[Line]) -> None:
        """Starts, or starts again, with what is known already."""
        from torch.utils.tensorboard import SummaryWriter

        self.close(failed=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.writer = SummaryWriter(str(self.folder))
        self.writer.add_text("recipe", f"```yaml\n{self.recipe.to_yaml()}```")
        for line in lines:
            self.write(line)

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

    Args:
        directory: The run's.
        recipe: The run's.
    """

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        need_extra("wandb")
        self.directory = directory
        self.recipe = recipe
        self.run: Any = None
        self.number: int = 0  # of the next line
        self.sent: int = 0

    def begin(self, lines: Sequence[Line]) -> None:
        """Starts, or starts again, with what is known already."""
        if self.run is None:
            self._start()
        self.number = 0
        for line in lines:
            self.write(line)

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
