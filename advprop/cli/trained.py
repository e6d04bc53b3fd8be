"""The commands that use what was trained: they tell what is on images, export a model, and draw runs."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from advprop.cli.console import Switch, complain, say
from advprop.runtime import need_extra, short_of_memory


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Tell what is on pictures: the likeliest classes of each, by a trained model.

    Args:
        images: Pictures, and folders of pictures.
        model: Directory of a run, folder of an exported model, or name of a model that timm has weights of.
        top: How many classes to name for each picture.
        json: Print JSON instead of a table.
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
        if not self.images:
            raise ValueError("name a picture, or a folder of pictures")
        from advprop.inference import find_images, load_model, predict, prediction_table
        from advprop.runtime import join

        images = find_images(self.images)
        model = load_model(self.model, self.branch)
        with (
            short_of_memory("in prediction", lambda: f"lower --batch-size (now {self.batch_size})"),
            join(self.device) as world,
        ):
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
        onnx: Write ONNX files too, if onnxruntime computes the same with them. They take pixels in [0, 1].
        precision: Numbers inside of the ONNX files, one file for each: fp32, fp16, int8. int8 is calibrated
            with training images of the run; the accuracy of fp16 and int8 on its test images is shown.
        raw: Leave the normalization out of the ONNX files: they take normalized images.
        tolerance: How far logits of onnxruntime may be from the model's own; none: 1e-4 in fp32, 2 % of the
            largest logit in fp16, any distance in int8.
        branch: Batch norms of the run's model to keep: main, or adv.
    """

    model: Positional[str]
    out: Path | None = None
    onnx: Switch = False
    precision: tuple[Literal["fp32", "fp16", "int8"], ...] = ("fp32",)
    raw: Switch = False
    tolerance: float | None = None
    branch: str = "main"

    def __call__(self) -> int:
        """Writes the files and shows their names."""
        self._check()
        from advprop.inference import describe_export, export_run_onnx, export_timm, load_model

        model = load_model(self.model, self.branch)
        folder = export_timm(model, self.out or Path(self.model) / "exported")
        files = []
        if self.onnx:
            told: dict[str, Any] = {"raw": self.raw, "tolerance": self.tolerance, "branch": self.branch}
            told["progress"] = sys.stderr.isatty()
            files = export_run_onnx(self.model, model, folder, self.precision, **told)
        say(describe_export(model, folder, files, self.raw))
        return 0

    def _check(self) -> None:
        """Refuses what cannot be, before anything is read or written."""
        if self.out is None and not Path(self.model).is_dir():
            raise ValueError(f"say where {self.model} is to be written: --out FOLDER")
        if self.onnx:
            need_extra("onnx")
            if not self.precision:
                raise ValueError("--precision must be fp32, fp16, int8 or several of them, got none")
        elif self.raw or self.precision != ("fp32",):
            raise ValueError(f"--{'raw' if self.raw else 'precision'} is for ONNX files; add --onnx")


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
