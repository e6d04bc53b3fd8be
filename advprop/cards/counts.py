"""What a model costs, counted on the meta device: no weight is made and no image is seen.

The FLOPs of the model index follow a definition of their own. They are reproduced here to the last digit, so
that a wrong number can be told from an unusual one.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.flop_counter import FlopCounterMode

from advprop.runtime import without_gradients


def count_macs(model: nn.Module, height: int, width: int) -> int:
    """Multiply-accumulates of the forward pass of one image, as PyTorch counts them: half of its FLOPs.

    The image has `height` x `width` pixels.

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
        if type(module) is nn.Conv2d:
            total += output.numel() * (module.weight[0].numel() + (module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * inputs[0].numel()
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            total += inputs[0].numel() + output.numel()

    with register_module_forward_hook(add):
        _forward(model, height, width)
    return total


def _forward(model: nn.Module, height: int, width: int) -> None:
    weight = next(model.parameters())
    channels = getattr(model, "in_chans", 3)
    with without_gradients():
        model(torch.empty(1, channels, height, width, device=weight.device, dtype=weight.dtype))
