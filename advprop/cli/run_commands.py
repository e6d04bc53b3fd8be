"""What the commands do that take a trained model; an instance is a command with its options.

Imports of torch stand inside: help should not wait for them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from advprop.cli.console import Switch, complain, say


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw training runs: losses, test accuracy, learning rate over the epochs.

    Args:
        runs: Directories of the runs.
        out: File to write; its ending tells the kind: .svg, .png or .pdf.
    """

    runs: Positional[tuple[Path, ...]]
    out: Path = Path("plot.svg")

    def __call__(self) -> int:
        """Writes the picture."""
        from advprop.figures import plot_runs

        plot_runs(self.runs, self.out)
        say(f"wrote {self.out}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure the accuracy of a trained model: clean, corrupted, attacked.

    Args:
        model: Directory of a run, which is measured on its own test images. With --data also the folder of
            an exported model, or the name of a model that timm has weights of.
        data: Other test images: a folder with a folder for each class, or what timm reads.
        data_dir: Folder that holds the data of that name.
        test_split: Name of the split, or of the folder, with the test images of these data.
        bad_images: What to do about one of these images that cannot be read.
        workers: Processes that read these images.
        severities: Severities of the 15 corruptions, from 1 to 5.
        eps: Radii of attacks, in pixels of [0, 1], such as 2/255; none: no attack.
        steps: Steps of the attacks.
        branch: Batch norms to use: main, or adv.
        device: cpu, cuda, mps; auto takes the best there is.
    """

    model: Positional[str]
    data: str | None = None
    data_dir: str | None = None
    test_split: str = "validation"
    bad_images: Literal["stop", "skip"] = "stop"
    workers: int = 4
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    eps: tuple[float, ...] = ()
    steps: tuple[int, ...] = (10,)
    branch: str = "main"
    device: str = "auto"

    def __call__(self) -> int:
        """Shows the tables."""
        from advprop.evaluation import evaluate, evaluate_attacks, evaluate_corruptions
        from advprop.runs import attack_table, corruption_table

        with self._open() as (model, batches, branch):
            options: dict[str, Any] = {"branch": branch, "progress": sys.stderr.isatty()}
            say(f"clean: {evaluate(model, batches, **options)}")
            if self.severities:
                found = evaluate_corruptions(model, batches, severities=self.severities, **options)
                say(f"\naccuracy in % on corrupted images\n{corruption_table(found)}")
            if self.eps:
                attacked = evaluate_attacks(model, batches, self.eps, self.steps, **options)
                say(f"\naccuracy in % on attacked images\n{attack_table(attacked)}")
        return 0

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any, str]]:
        """The model, the test images, and the branch of the model to use."""
        from advprop.inference import model_and_images, trained
        from advprop.recipes import make_recipe
        from advprop.runs import RECIPE

        if self.data is None:
            if not (Path(self.model) / RECIPE).is_file():
                raise ValueError(
                    f"{self.model} is not the directory of a run; with --data it may be another model"
                )
            with trained(self.model, self.device) as (model, batches):
                yield model, batches, self.branch
            return
        where = {"data": self.data, "data_dir": self.data_dir, "test_split": self.test_split}
        recipe = make_recipe(where, bad_images=self.bad_images, workers=self.workers)
        with model_and_images(self.model, recipe, self.branch, self.device) as (model, images):
            yield model, images, "main"


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Tell what is on pictures: the likeliest classes of each, by a trained model.

    Args:
        images: Pictures, and folders of pictures.
        model: Directory of a run, folder of an exported model, or name of a model that timm has weights of.
        top: How many classes to name for each picture.
        json: Print JSON in the place of a table.
        branch: Batch norms of the run's model to use: main, or adv.
        device: cpu, cuda, mps; auto takes the best there is.
        batch_size: Pictures that go through the model at once.
        workers: Processes that read pictures; 0: none beside this one.
    """

    images: Positional[tuple[Path, ...]]
    model: str
    top: int = 5
    json: Switch = False
    branch: str = "main"
    device: str = "auto"
    batch_size: int = 32
    workers: int = 0

    def __call__(self) -> int:
        """Shows the predictions; the status is 1 if a picture could not be read."""
        from advprop.inference import find_images, load_model, predict, prediction_table
        from advprop.runtime import join

        if not self.images:
            raise ValueError("name a picture, or a folder of pictures")
        images = find_images(self.images)
        model = load_model(self.model, self.branch)
        with join(self.device) as world:
            found = predict(
                model.to(world.device),
                images,
                self.top,
                batch_size=self.batch_size,
                workers=self.workers,
                bad_images="skip",
                progress=sys.stderr.isatty(),
            )
        if self.json:
            say(json.dumps([each.to_dict() for each in found], indent=2))
        elif table := prediction_table(found):
            say(table)
        bad = [each for each in found if each.problem]
        for each in bad:
            complain(f"cannot read {each.image}: {each.problem}")
        return 1 if bad else 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trained model for timm and, if asked, for ONNX, and tell how to load it.

    Args:
        model: Directory of a run, folder of an exported model, or name of a model that timm has weights of.
        out: Folder to write to; by default the folder exported in the directory of the run.
        onnx: Write model.onnx too, if onnxruntime computes the same with it.
        tolerance: How far logits of onnxruntime may be from the model's own.
        branch: Batch norms of the run's model to keep: main, or adv.
    """

    model: Positional[str]
    out: Path | None = None
    onnx: Switch = False
    tolerance: float = 1e-4
    branch: str = "main"

    def __call__(self) -> int:
        """Writes the files and shows their names."""
        from advprop.inference import describe_export, export_onnx, export_timm, load_model

        if self.out is None and not Path(self.model).is_dir():
            raise ValueError(f"say where {self.model} is to be written: --out FOLDER")
        model = load_model(self.model, self.branch)
        folder = export_timm(model, self.out or Path(self.model) / "exported")
        difference = export_onnx(model, folder / "model.onnx", self.tolerance) if self.onnx else None
        say(describe_export(model, folder, difference))
        return 0
