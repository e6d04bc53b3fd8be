"""Shuffling: adversarial images change batches, across all ranks, before they are trained on.

The second of the three ideas of Fast AdvProp (Mei et al., ICLR 2022, section 3.2.2).
"""

import torch
import torch.distributed as dist
from torch import Tensor


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
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        order = torch.randperm(len(images), device=images.device)
        return images[order], labels[order]
    all_images, all_labels = _gather(images), _gather(labels)
    order = torch.randperm(len(all_images), device=images.device)
    dist.broadcast(order, src=0)
    mine = order[dist.get_rank() :: dist.get_world_size()]
    return all_images[mine], all_labels[mine]


def _gather(tensor: Tensor) -> Tensor:
    mine = tensor.contiguous()  # in channels_last, what is gathered could be read in another order
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    return torch.cat(parts)
