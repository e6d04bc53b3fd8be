"""The command that writes a trained model for other programs."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from advprop.cli.console import Switch, say


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
        if self.out is None and not Path(self.model).is_dir():
            raise ValueError(f"say where {self.model} is to be written: --out FOLDER")
        from advprop.inference import describe_export, export_onnx, export_timm, load_model

        model = load_model(self.model, self.branch)
        folder = export_timm(model, self.out or Path(self.model) / "exported")
        difference = export_onnx(model, folder / "model.onnx", self.tolerance) if self.onnx else None
        say(describe_export(model, folder, difference))
        return 0
