"""Trained models for other programs: a folder that timm loads, and ONNX, checked against the model."""

import copy
import json
import math
import shlex
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from timm.models import filter_pretrained_cfg, save_for_hf
from timm.utils.model import unwrap_model
from torch import Tensor, nn

from advprop.attacks import PixelModel
from advprop.models import ConvNet, check_configured, check_names, data_config
from advprop.norms import MAIN, branch_names
from advprop.runtime import brief, format_table, need_extra, without_gradients

_BATCH_SIZES = (1, 2, 5)
_LARGEST_FILE = 2**31 - 2**24  # of ONNX, without the weights in a second file


def export_timm(model: nn.Module, directory: Path | str, class_names: Sequence[str] | None = None) -> Path:
    """Writes a model as a folder that `timm.create_model("local-dir:DIRECTORY", pretrained=True)` loads.

    The folder has `model.safetensors` and `config.json`, which says how images are to be prepared and
    what the classes are called. timm needs no part of this package for it, unless the architecture is its
    own small ConvNet: then `import advprop.models` comes first.

    Args:
        model: A plain timm model, such as `load_run` gives; wherever it is, and left as it is.
        directory: The folder; made if it is not there. A model in it is replaced.
        class_names: Names of the classes by label; by default those of the model's configuration.

    Returns:
        The folder.

    Raises:
        ValueError: If it is no timm model, has auxiliary norms, or the names are not as many as its classes.
        OSError: If the folder cannot be written.

    Examples:
        >>> import tempfile, timm
        >>> from advprop import create_model, export_timm
        >>> model = create_model("test_resnet", num_classes=2)
        >>> folder = export_timm(model, tempfile.mkdtemp(), class_names=("cat", "dog"))
        >>> again = timm.create_model(f"local-dir:{folder}", pretrained=True)
        >>> again.pretrained_cfg["label_names"]
        ['cat', 'dog']
    """
    # timm's writer wants contiguous tensors, and the names of the classes in one place.
    plain: Any = copy.deepcopy(_plain(model)).cpu().to(memory_format=torch.contiguous_format)
    config = plain.pretrained_cfg = dict(plain.pretrained_cfg)
    names = config.pop("label_names", None) or ()
    if class_names is not None:
        check_names(class_names, plain.num_classes)
        names = list(class_names)
        config.pop("label_descriptions", None)
    own: dict[str, Any] = {"label_names": names} if len(names) == plain.num_classes else {}
    if config.pop("exif_orientation", False):  # timm's settings have no such key
        own["exif_orientation"] = True
    with _replacing(Path(directory)) as partial:
        save_for_hf(plain, str(partial), model_config=own, safe_serialization=True)
        # safetensors writes files that nobody else may read
        (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
    return Path(directory)


def export_onnx(model: nn.Module, file: Path | str, tolerance: float = 1e-4) -> float:
    """Writes a model as ONNX, for any number of images, if onnxruntime computes the same with it.

    The input `images` is `[B, C, H, W]`, the output `logits` is `[B, classes]`. A timm model takes
    normalized images; a `PixelModel` of it takes pixels in [0, 1]. The file's metadata have the model's
    configuration as JSON under `pretrained_cfg`.

    Args:
        model: A timm model without auxiliary norms, or a `PixelModel` of one; left as it is.
        file: Where to write it. A file there is replaced, if the new one is right.
        tolerance: How far logits may be from the model's own, on random images in batches of 1, 2 and 5.

    Returns:
        How far they are at most.

    Raises:
        ValueError: If it is no timm model, has auxiliary norms, or torch cannot write it as ONNX.
        ArithmeticError: If the logits differ by more than the tolerance; nothing is written.
        MissingExtraError: If onnx, onnxruntime or onnxscript is not installed.
        OSError: If the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from advprop import create_model, export_onnx
        >>> model = create_model("advprop_convnet")
        >>> export_onnx(model, tempfile.mkdtemp() + "/model.onnx") < 1e-4
        True
    """
    need_extra("onnx", "onnx", "onnxruntime", "onnxscript")
    inner = _plain(model)
    taken = model if isinstance(model, PixelModel) else inner
    plain = copy.deepcopy(taken).cpu().float().eval()
    file = Path(file)
    with _replacing(file.parent) as partial:
        _write_onnx(plain, inner, partial / file.name)
        difference, batch_size, largest = _parity(plain, inner, partial / file.name)
        if not difference <= tolerance:  # nor if it is not a number
            raise ArithmeticError(
                f"onnxruntime's logits differ from PyTorch's by {difference:.2e} in a batch of {batch_size}, "
                f"more than the tolerance of {tolerance:.2e}; the largest logit is {largest:.2e}; "
                f"{file} was not written"
            )
    return difference


def describe_export(model: nn.Module, folder: Path, difference: float | None = None) -> str:
    """What was written to a folder, and how it is loaded.

    Args:
        model: The model in it.
        folder: Where `export_timm` has written it.
        difference: What `export_onnx` gave, if it wrote `model.onnx` there.
    """
    channels, height, width = data_config(model)["input_size"]
    colors = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    classes: Any = model.num_classes
    size = {file.name: f"{file.stat().st_size / 1e6:.2f} MB" for file in folder.iterdir() if file.is_file()}
    told = {
        "model.safetensors": f"weights, {size['model.safetensors']}",
        "config.json": f"{classes} classes, {colors} images of {height} x {width} pixels",
    }
    if difference is not None:
        told["model.onnx"] = f"{size['model.onnx']}, logits off PyTorch's by {difference:.1e} at most"
    files = [(str(folder / name), what) for name, what in told.items()]
    needed = "advprop.models, timm" if isinstance(model, ConvNet) else "timm"  # which knows the architecture
    name = json.dumps(f"local-dir:{folder}", ensure_ascii=False)
    return (
        f"{format_table(('file', 'content'), files)}\n\n"
        f"Python: import {needed}; model = timm.create_model({name}, pretrained=True).eval()\n"
        f"Shell:  advprop predict IMAGES --model {shlex.quote(str(folder))}"
    )


def _plain(model: nn.Module) -> nn.Module:
    """The model without what training put around it, if it is one of timm's as timm made it."""
    model = unwrap_model(model)
    if branch_names(model) != (MAIN,):
        raise ValueError(
            f"the model has the branches {', '.join(branch_names(model))}; "
            "remove_aux_norm(model) leaves the plain model to export"
        )
    check_configured(model)
    return model


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A folder to write in, whose files move to the directory at the end, if all went well."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=directory) as partial:
        yield Path(partial)
        for path in sorted(Path(partial).iterdir()):
            path.replace(directory / path.name)


def _write_onnx(model: nn.Module, inner: nn.Module, file: Path) -> None:
    settings: dict[str, Any] = {
        "input_names": ["images"],
        "output_names": ["logits"],
        "dynamic_shapes": ({0: torch.export.Dim("batch")},),
    }
    images = _random_images(model, inner, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its own workings
        try:
            program: Any = torch.onnx.export(model, (images,), dynamo=True, verbose=False, **settings)
        except RuntimeError as error:
            reason = brief(error.__cause__ or error)
            raise ValueError(f"{type(inner).__name__} cannot be written as ONNX: {reason}") from error
    config: Any = inner.pretrained_cfg
    told = filter_pretrained_cfg(config, remove_source=True) | data_config(inner)
    program.model.metadata_props["pretrained_cfg"] = json.dumps(told | {"num_classes": inner.num_classes})
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    program.save(file, external_data=size > _LARGEST_FILE)


def _parity(model: nn.Module, inner: nn.Module, file: Path) -> tuple[float, int, float]:
    """How far onnxruntime's logits are off at most, for how many images, and their largest logit."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = []
    for batch_size in _BATCH_SIZES:
        images = _random_images(model, inner, batch_size)
        with without_gradients():
            expected = model(images)
        [logits] = session.run(None, {"images": images.numpy()})
        differences = (torch.from_numpy(logits) - expected).abs()
        found.append((differences.max().item(), batch_size, expected.abs().max().item()))
    return max(found, key=lambda each: math.inf if math.isnan(each[0]) else each[0])


def _random_images(model: nn.Module, inner: nn.Module, count: int) -> Tensor:
    """Random pixels `[count, C, H, W]`, normalized for a model that wants them so."""
    config = data_config(inner)
    pixels = torch.rand(count, *config["input_size"], generator=torch.Generator().manual_seed(count))
    if isinstance(model, PixelModel):
        return pixels
    images: Tensor = PixelModel(nn.Identity(), config["mean"], config["std"])(pixels)
    return images
