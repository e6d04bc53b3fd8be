"""The command that writes a trained model for other programs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from advprop.cli.console import Switch, say
from advprop.runtime import need_extra


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
