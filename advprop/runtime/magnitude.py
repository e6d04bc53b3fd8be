"""The largest of many numbers, which tells whether all of them are finite."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def largest_magnitude(tensors: Sequence[Tensor]) -> Tensor:
    """The largest absolute value in tensors of one device: NaN or infinite if any value is; 0 for none.

    It does not wait for the device. torch's norm of the same meaning takes few kernels on a GPU, and fifteen
    times as long as this on a CPU.
    """
    filled = [each for each in tensors if each.numel()]
    if not filled or filled[0].device.type != "cpu":
        return torch.nn.utils.get_total_norm(filled, norm_type=math.inf)
    return torch.stack([torch.stack(each.aminmax()).abs().max() for each in filled]).max()
