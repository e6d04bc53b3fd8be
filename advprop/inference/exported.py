"""What is exported of a run: ONNX files, with what its own images say of them, and all of it in words."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from advprop.attacks import PixelModel
from advprop.data import Batches, Part, some_images
from advprop.evaluation import Accuracy, evaluate
from advprop.inference.load import trained, training_images
from advprop.inference.onnx_file import COMPARED, OnnxModel, Precision, export_onnx
from advprop.models import ConvNet, data_config
from advprop.norms import MAIN
from advprop.runtime import format_table, shell_word

_CALIBRATED = 256
_TESTED = 5000


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file of a model.

    Args:
        file: Where it is.
        precision: Numbers inside.
        difference: How far its logits are from the model's own at most.
        real_images: Whether that was found on images of the run; else on random ones.
        before: Accuracy of the model on the run's test images, or on some of them, where it was measured.
        after: Accuracy of the file on them.
    """

    file: Path
    precision: Precision
    difference: float
    real_images: bool
    before: Accuracy | None = None
    after: Accuracy | None = None

    def __str__(self) -> str:
        told = f"{self.file.stat().st_size / 1e6:.2f} MB, {self.precision}, "
        if self.before and self.after:
            shares = f"{100 * self.after.top1:.1f} % (PyTorch {100 * self.before.top1:.1f} %)"
            return f"{told}accuracy {shares} on {self.after.n} test images"
        images = "images of the run" if self.real_images else "random images"
        return f"{told}logits off PyTorch's by {self.difference:.1e} at most on {images}"


def export_run_onnx(
    source: Path | str,
    model: nn.Module,
    folder: Path,
    precisions: Sequence[Precision] = ("fp32",),
    *,
    raw: bool = False,
    tolerance: float | None = None,
    branch: str = MAIN,
    progress: bool = False,
) -> list[OnnxFile]:
    """Writes a model as ONNX, in several precisions, and measures those that are not exact.

    Logits are compared on images of the run, where they are at hand. Files of fp16 and int8 are tested on
    its test images: on all, or on 5000 that are evenly spread over them.

    Args:
        source: Directory of the run; of other models no images are known.
        model: The model, as `load_model` gives it.
        folder: Where the files go: `model.onnx`, `model.fp16.onnx`, `model.int8.onnx`.
        precisions: Which of them.
        raw: Whether the files take normalized images; by default they take pixels in [0, 1].
        tolerance: As for `export_onnx`.
        branch: Whose batch norms the model has.
        progress: Whether to show progress.

    Raises:
        ValueError: If int8 is asked for, and the images of the run are not at hand; and as `export_onnx`.
        ArithmeticError: If a file computes something else.
        MissingExtraError: If the extra `onnx` is not installed.
    """
    config = data_config(model)
    by = config["mean"], config["std"]
    taken = model if raw else PixelModel(model, *by)
    found = []
    with ExitStack() as stack:
        at_hand = _images_of(source, "int8" in precisions, stack)
        before = None
        for precision in precisions:
            file = folder / ("model.onnx" if precision == "fp32" else f"model.{precision}.onnx")
            images = at_hand and (at_hand.training if precision == "int8" else at_hand.testing)
            difference = export_onnx(taken, file, tolerance, precision=precision, images=images)
            after = None
            if at_hand and precision != "fp32":
                before = before or evaluate(at_hand.model, at_hand.batches, branch=branch, progress=progress)
                written = OnnxModel(file)
                tested = PixelModel(written, *by) if raw else written
                after = evaluate(tested, at_hand.batches, progress=progress)
            found.append(OnnxFile(file, precision, difference, images is not None, before, after))
    return found


class _AtHand(NamedTuple):
    """The images of a run, and its model."""

    model: PixelModel
    batches: Batches
    testing: Tensor
    training: Tensor | None


def _images_of(source: Path | str, for_int8: bool, stack: ExitStack) -> _AtHand | None:
    """What there is of the images of a run, as long as the stack; None if they have gone, or it is no run."""
    try:
        model, batches = stack.enter_context(trained(source))
        testing = some_images(batches.images, COMPARED)
        training = training_images(source, _CALIBRATED) if for_int8 else None
        tested = Batches(Part.of(batches.images, _TESTED), batches.batch_size)
        return _AtHand(model, tested, testing, training)
    except (ValueError, OSError) as error:
        if for_int8:
            raise ValueError(
                "int8 needs a run with its training images, to be calibrated, and with its test images, "
                f"to be measured; {error}"
            ) from error
        return None


def describe_export(
    model: nn.Module, folder: Path, onnx_files: Sequence[OnnxFile] = (), raw: bool = False
) -> str:
    """What `export_timm` and `export_run_onnx` have written of a model to a folder, and how it is loaded."""
    channels, height, width = data_config(model)["input_size"]
    colors = {1: "gray", 3: "color"}.get(channels, f"{channels}-channel")
    classes: Any = model.num_classes
    weights = folder / "model.safetensors"
    files = [
        (str(weights), f"weights, {weights.stat().st_size / 1e6:.2f} MB"),
        (str(folder / "config.json"), f"{classes} classes, {colors} images of {height} x {width} pixels"),
        *((str(each.file), str(each)) for each in onnx_files),
    ]
    needed = "advprop.models, timm" if isinstance(model, ConvNet) else "timm"  # which knows the architecture
    name = json.dumps(f"local-dir:{folder}", ensure_ascii=False)
    lines = [
        f"Python: import {needed}; model = timm.create_model({name}, pretrained=True).eval()",
        f"Shell:  advprop predict IMAGES --model {shell_word(folder)}",
    ]
    if onnx_files:
        taken = "images normalized by its mean and std" if raw else "pixels in [0, 1]"
        lines.append(f"ONNX:   images [B, {channels}, {height}, {width}] of {taken} to logits [B, {classes}]")
    return f"{format_table(('file', 'content'), files)}\n\n" + "\n".join(lines)
