"""What a model costs, counted on the meta device: no weight is made and no image is seen.

The model index states FLOPs and file sizes that follow definitions of their own; they are reproduced here to
the last digit, so that a wrong number can be told from an unusual one.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

_NEW = re.compile(r"(^|\.)(drop|aa|drop_path|gate|flatten|bn3\.act)$")  # no modules of timm's in 2020


def count_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates of the forward pass of one image, as PyTorch counts them: half of its FLOPs.

    Args:
        model: A model on any device; on the meta device nothing is computed.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Examples:
        >>> import torch
        >>> from advprop.cards.counts import count_macs
        >>> count_macs(torch.nn.Conv2d(3, 8, 3, padding=1, device="meta"), 10, 10)
        21600
    """
    with FlopCounterMode(display=False) as counter:
        _forward(model, height, width)
    return int(counter.get_total_flops()) // 2


def count_index_flops(model: nn.Module, height: int, width: int) -> int:
    """FLOPs of the forward pass of one image by the definition of the model index.

    Multiply-accumulates of the convolutions whose class is exactly `nn.Conv2d` (subclasses, such as those
    with TensorFlow's padding, are missed), one more for each output of a convolution with a bias, two for
    each element that a batch norm sees, and (pixels + 1) for each channel of the average pool. The
    classifier is not counted.
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * (module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * inputs[0].numel()
        else:
            total += inputs[0].numel() + output.numel()

    counted = [
        module
        for module in model.modules()
        if type(module) is nn.Conv2d or isinstance(module, nn.BatchNorm2d | nn.AdaptiveAvgPool2d)
    ]
    handles = [module.register_forward_hook(add) for module in counted]
    try:
        _forward(model, height, width)
    finally:
        for handle in handles:
            handle.remove()
    return total


def _forward(model: nn.Module, height: int, width: int) -> None:
    weight = next(model.parameters())
    channels = getattr(model, "in_chans", 3)
    with torch.no_grad():
        model(torch.empty(1, channels, height, width, device=weight.device, dtype=weight.dtype))


def count_index_bytes(model: nn.Module) -> int:
    """Bytes of a model's checkpoint file by the definition of the model index.

    The state dict as `torch.save` wrote it before PyTorch 1.6, with the version record of the modules that
    timm's EfficientNets had then.
    """
    state = model.state_dict()
    versions = vars(state)["_metadata"]
    then = OrderedDict(state)
    vars(then)["_metadata"] = OrderedDict(
        (_module_then(name), version) for name, version in versions.items() if not _NEW.search(name)
    )
    return count_legacy_bytes(then)


def count_legacy_bytes(state: dict[str, Tensor]) -> int:
    """Bytes of the file that `torch.save` wrote before PyTorch 1.6: a few pickles, then the raw tensors.

    Args:
        state: Tensors by name, each with memory of its own; their values are not read and may be on the meta
            device.
    """
    body = io.BytesIO()
    pickler = _LegacyPickler(body, protocol=2)
    pickler.dump(state)
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    pickles = (0x1950A86A20F9469CFC6C, 1001, system, sorted(pickler.keys))
    raw = sum(8 + tensor.numel() * tensor.element_size() for tensor in state.values())
    return sum(len(pickle.dumps(each, protocol=2)) for each in pickles) + body.tell() + raw


class _Storage(NamedTuple):
    """Stands for the memory of a tensor, which a checkpoint's pickle only refers to."""

    kind: type
    numel: int


class _LegacyPickler(pickle.Pickler):
    """Pickles tensors as `torch.save` does, without their memory."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol=protocol)
        self.keys: list[str] = []

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, _Storage):
            return None
        self.keys.append(str(10**13 + len(self.keys)))  # was an address in memory, of 14 digits
        return "storage", obj.kind, self.keys[-1], "cpu", obj.numel, None

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        kind = getattr(torch, torch.storage._dtype_to_storage_type_map()[obj.dtype])
        storage = _Storage(kind, obj.numel())
        shape, stride = tuple(obj.shape), obj.stride()
        return torch._utils._rebuild_tensor_v2, (storage, 0, shape, stride, False, OrderedDict())


def _module_then(name: str) -> str:
    """What a module was called when activations stood beside batch norms, not in them."""
    return re.sub(r"bn(\d)\.act$", r"act\1", name)
