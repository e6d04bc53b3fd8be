"""Which images a rank evaluates, so that over all ranks each counts once."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import TypeVar

import torch.distributed as dist
from timm.task import evaluation_sample_limit
from torch.utils.data import Dataset, DistributedSampler, Subset

Item = TypeVar("Item")


def rank_share(dataset: Dataset[Item]) -> Subset[Item]:
    """The images of this rank: every n-th of the data set for n ranks, none twice and none left out.

    Args:
        dataset: Anything with a length and items by number.

    Raises:
        ValueError: If the data set has no length.

    Examples:
        >>> from torch.utils.data import TensorDataset
        >>> import torch
        >>> from advprop import rank_share
        >>> len(rank_share(TensorDataset(torch.zeros(3, 1, 8, 8))))  # all of them, on a single rank
        3
    """
    return Subset(dataset, _turns(dataset, *rank_and_ranks(all_ranks=True)))


def rank_and_ranks(all_ranks: bool) -> tuple[int, int]:
    """This rank's number and the number of ranks that count together."""
    if all_ranks and dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def images_without_padding(batches: Iterable[object]) -> int | None:
    """How many images of this rank are not the padding of a distributed sampler; None where none pads.

    Raises:
        ValueError: If the sampler leaves images out.
    """
    sampler = getattr(batches, "sampler", None)
    if not isinstance(sampler, DistributedSampler):
        limit: int | None = evaluation_sample_limit(batches)
        return limit
    if sampler.drop_last:
        raise ValueError(
            "every image must count, and the sampler leaves some out; pass drop_last=False to it"
        )
    return len(_turns(sampler.dataset, sampler.rank, sampler.num_replicas))


def _turns(dataset: object, rank: int, ranks: int) -> range:
    """The numbers of a rank's images, where the ranks take turns."""
    if not isinstance(dataset, Sized):
        raise ValueError(f"a share needs a data set with a length, got {type(dataset).__name__}")
    return range(rank, len(dataset), ranks)
