"""What an export has written, in words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from advprop.inference.onnx_of_run import OnnxFile
from advprop.models import ConvNet, data_config
from advprop.runtime import format_table, shell_word


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
