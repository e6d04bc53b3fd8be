"""Shuffling: adversarial images change batches, across all ranks, before they are trained on.

The second of the three ideas of Fast AdvProp (Mei et al., ICLR 2022, section 3.2.2).
"""

import torch
import torch.distributed as dist
from torch import Tensor

from advprop.runtime import rank_and_ranks


def shuffle_ranks(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Shuffles a batch over all ranks: each gets as many images back, every image is somewhere once.

    Batch statistics during the attack tell images of one batch about each other; mixing the batches keeps
    that from the training pass.

    Args:
        images: `[B, C, H, W]`, as many on each rank.
        labels: Classes `[B]`, or weights of the classes `[B, classes]`.

    Returns:
        Images and labels of the same shapes.
    """
    rank, ranks = rank_and_ranks(all_ranks=True)
    if ranks > 1:
        images, labels = _gather(images, ranks), _gather(labels, ranks)
    order = torch.randperm(len(images), device=images.device)
    if ranks > 1:
        dist.broadcast(order, src=0)
    mine = order[rank::ranks]
    return images[mine], labels[mine]


def _gather(tensor: Tensor, ranks: int) -> Tensor:
    mine = tensor.contiguous()  # in channels_last, what is gathered could be read in another order
    parts = [torch.empty_like(mine) for _ in range(ranks)]
    dist.all_gather(parts, mine)
    return torch.cat(parts)
