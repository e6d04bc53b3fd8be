"""ONNX files in int8, by onnxruntime's static quantization: convolutions and matrix products."""

import logging
from pathlib import Path

from onnxruntime.quantization import quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

_BATCH = 16


class _Reader:
    """Images in batches, as onnxruntime asks for them."""

    def __init__(self, images: Tensor) -> None:
        self.batches = iter(images.split(_BATCH))

    def get_next(self) -> dict[str, object] | None:
        """The next batch; None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.numpy()}


def quantize(file: Path, images: Tensor) -> None:
    """Replaces an ONNX file by one whose weights and activations are 8 bits.

    Args:
        file: What `export_onnx` writes.
        images: Images `[N, C, H, W]` as the file takes them; the ranges of activations are theirs.
    """
    prepared = file.with_name("prepared.onnx")
    told = logging.root.manager.disable
    logging.disable(logging.WARNING)  # what onnxruntime says of its own workings
    try:
        quant_pre_process(file, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, file, _Reader(images), per_channel=True)
    finally:
        logging.disable(told)
    prepared.unlink()
