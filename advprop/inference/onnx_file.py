"""Trained models as ONNX files, each checked against the model before it is there."""

import copy
import json
import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import torch
from timm.models import filter_pretrained_cfg
from torch import Tensor, nn

from advprop.attacks import PixelModel, check_pixels
from advprop.inference.export import plain_model, replacing
from advprop.models import data_config, exif_orientation, names_of_classes
from advprop.runtime import brief, need_extra, without_gradients

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]

COMPARED = 64  # images at most
_LARGEST_FILE = 2**31 - 2**24  # of ONNX, without the weights in a second file


def export_onnx(
    model: nn.Module,
    file: Path | str,
    tolerance: float | None = None,
    *,
    precision: Precision = "fp32",
    images: Tensor | None = None,
) -> float:
    """Writes a model as ONNX, for any number of images, if onnxruntime computes the same with it.

    The input `images` is `[B, C, H, W]`, the output `logits` is `[B, classes]`, both in fp32. A `PixelModel`
    takes pixels in [0, 1]; a timm model alone takes normalized images. The file's metadata tell a program
    how to prepare a picture (`pretrained_cfg`, JSON: `input_size`, `crop_pct`, `crop_mode`, `interpolation`,
    `exif_orientation`, the `value_range` of pixels, and the `mean` and `std` by which it still has to
    normalize them: 0 and 1 for a `PixelModel`), and the names of the classes (`class_names`, JSON).

    Args:
        model: A timm model without auxiliary norms, or a `PixelModel` of one; left as it is.
        file: Where to write it. A file there is replaced, if the new one is right.
        tolerance: How far logits may be from the model's own; None: 1e-4 in fp32, 2 % of the largest logit
            in fp16, any distance in int8, whose accuracy is to be measured.
        precision: Numbers inside: `"fp32"`, `"fp16"`, or `"int8"` by onnxruntime's static quantization.
        images: Pixels `[N, C, H, W]` in [0, 1], on which logits are compared and with which int8 is
            calibrated: some hundred training images. By default they are random, and int8 needs them.

    Returns:
        How far logits are from the model's own at most, in batches of 1, 2, 5 and more images.

    Raises:
        ValueError: If it is no timm model, has auxiliary norms, torch cannot write it as ONNX, or int8 has
            no images.
        ArithmeticError: If the logits differ by more than the tolerance; nothing is written.
        MissingExtraError: If onnx, onnxruntime or onnxscript is not installed.
        OSError: If the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from advprop import PixelModel, create_model, export_onnx
        >>> model = PixelModel(create_model("advprop_convnet"), mean=0.0, std=1.0)
        >>> export_onnx(model, tempfile.mkdtemp() + "/model.onnx") < 1e-4
        True
    """
    need_extra("onnx")
    inner = plain_model(model)
    _check_precision(precision, images)
    images = _as_taken(model, data_config(inner), images)
    taken = copy.deepcopy(model if isinstance(model, PixelModel) else inner).cpu().float().eval()
    file = Path(file)
    with replacing(file.parent) as partial:
        written = partial / file.name
        _write(_half(taken) if precision == "fp16" else taken, inner, written, precision)
        if precision == "int8":
            _quantize(written, images)
        return _compare(taken, OnnxModel(written), images[:COMPARED], precision, tolerance, file)


def _check_precision(precision: str, images: Tensor | None) -> None:
    if precision not in ("fp32", "fp16", "int8"):
        raise ValueError(f"precision must be fp32, fp16 or int8, got {precision!r}")
    if precision == "int8" and images is None:
        raise ValueError("int8 is calibrated with images, and got none; pass some hundred for training")


def _as_taken(model: nn.Module, config: Mapping[str, Any], images: Tensor | None) -> Tensor:
    """Pixels, by default random ones, normalized for a model that wants them so."""
    size = config["input_size"]
    if images is None:
        images = torch.rand(8, *size, generator=torch.Generator().manual_seed(8))
    if not len(images) or images.shape[1:] != size:
        wanted = ", ".join(map(str, size))
        raise ValueError(f"images must be [N, {wanted}], one or more, got {list(images.shape)}")
    check_pixels(images)
    images = images.cpu().float()
    if isinstance(model, PixelModel):
        return images
    normalized: Tensor = PixelModel(nn.Identity(), config["mean"], config["std"])(images)
    return normalized


class _Half(nn.Module):
    """A model in fp16, between images and logits of fp32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).half()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images.half())
        return logits.float()


def _half(model: nn.Module) -> nn.Module:
    """A copy of a model in fp16; pixels are normalized in fp32, before."""
    if isinstance(model, PixelModel):
        return PixelModel(_Half(model.model), model.mean, model.std).eval()
    return _Half(model).eval()


def _write(model: nn.Module, inner: nn.Module, file: Path, precision: Precision) -> None:
    settings: dict[str, Any] = {
        "input_names": ["images"],
        "output_names": ["logits"],
        "dynamic_shapes": ({0: torch.export.Dim("batch")},),
    }
    images = torch.zeros(2, *data_config(inner)["input_size"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its own workings
        try:
            program: Any = torch.onnx.export(model, (images,), dynamo=True, verbose=False, **settings)
        except RuntimeError as error:
            reason = brief(error.__cause__ or error)
            raise ValueError(f"{type(inner).__name__} cannot be written as ONNX: {reason}") from error
    program.model.metadata_props.update(metadata(inner, isinstance(model, PixelModel), precision))
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    program.save(file, external_data=size > _LARGEST_FILE)


def metadata(inner: nn.Module, takes_pixels: bool, precision: Precision) -> Mapping[str, str]:
    """What a program needs to know beside the file, as texts."""
    cfg: Any = inner.pretrained_cfg
    classes: Any = inner.num_classes
    config = filter_pretrained_cfg(cfg, remove_source=True) | data_config(inner)
    config |= {"num_classes": classes, "exif_orientation": exif_orientation(inner)}
    config |= {"value_range": (0.0, 1.0), "precision": precision}
    if takes_pixels:  # a program that normalizes by these is right, too
        channels = config["input_size"][0]
        config |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    names = list(map(names_of_classes(inner), range(classes)))
    return {"pretrained_cfg": json.dumps(config), "class_names": json.dumps(names, ensure_ascii=False)}


def _quantize(file: Path, images: Tensor) -> None:
    """Replaces a file by one in int8, whose activations have the ranges that they have on these images."""
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    batches = ({"images": batch.numpy()} for batch in images.split(16))
    reader = SimpleNamespace(get_next=lambda: next(batches, None))
    prepared = file.with_name("prepared.onnx")
    told = logging.root.manager.disable
    logging.disable(logging.WARNING)  # what onnxruntime says of its own workings
    try:
        quant_pre_process(file, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, file, reader, per_channel=True)
    finally:
        logging.disable(told)
    prepared.unlink()


class OnnxModel(nn.Module):
    """A file as a model on the CPU."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        import onnxruntime

        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, classes]` of images `[B, C, H, W]`, pixels or normalized as the file takes them."""
        [logits] = self.session.run(None, {"images": images.cpu().numpy()})
        return torch.from_numpy(logits)


def _compare(
    model: nn.Module, written: nn.Module, images: Tensor, precision: str, tolerance: float | None, file: Path
) -> float:
    """How far onnxruntime's logits are from the model's at most; raises ArithmeticError if it is too far."""
    found: list[tuple[float, int, float]] = []
    for batch in filter(len, images.tensor_split((1, 3, 8))):  # batches of 1, 2, 5, and what is left
        with without_gradients():
            expected = model(batch)
        differences = (written(batch) - expected).abs()
        found.append((differences.max().item(), len(batch), expected.abs().max().item()))
    difference, size, largest = max(found, key=lambda each: math.inf if math.isnan(each[0]) else each[0])
    if tolerance is None:
        tolerance = {"fp32": 1e-4, "fp16": 0.02 * max(1.0, largest), "int8": math.inf}[precision]
    if not difference <= tolerance:  # nor if it is not a number
        raise ArithmeticError(
            f"onnxruntime's logits differ from PyTorch's by {difference:.2e} in a batch of {size}, more than "
            f"the tolerance of {tolerance:.2e}; the largest logit is {largest:.2e}; {file} was not written"
        )
    return difference
