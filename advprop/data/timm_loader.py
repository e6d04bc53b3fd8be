"""timm's loader without its normalization: batches of pixels in [0, 1]."""

from typing import Any

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.loader import create_loader as create_timm_loader
from timm.data.random_erasing import RandomErasing
from timm.data.scheduled_sampler import ScheduledTransformDataset
from torchvision.transforms import Normalize

from advprop.data.augment import PixelErasing


def create_loader(
    dataset: Any,
    input_size: int | tuple[int, int] | tuple[int, int, int],
    batch_size: int,
    *,
    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN,
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD,
    **kwargs: Any,
) -> Any:
    """The loader of `timm.data.create_loader` without normalization: pixels in [0, 1], as tasks expect them.

    The images are otherwise those of timm's loader. `mean` is still the color that AutoAugment fills
    corners with, and random erasing draws its noise with `mean` and `std`, clipped to [0, 1].

    Args:
        dataset: A timm dataset, such as `timm.data.create_dataset` gives.
        input_size: Size of the images, `(C, H, W)`.
        batch_size: Images per batch, on each rank.
        mean: Mean of each channel that the model normalizes with.
        std: Standard deviation, likewise.
        **kwargs: All other arguments of timm's loader: `is_training`, `re_prob`, `distributed` ...

    Returns:
        timm's loader of pixels `[B, C, H, W]` in [0, 1] and labels `[B]`.

    Raises:
        ValueError: If the batches are to have augmentation splits, which tasks do not support.
    """
    if splits := kwargs.get("num_aug_splits"):
        raise ValueError(
            "tasks do not support augmentation splits (--aug-splits, --jsd-loss), "
            f"got num_aug_splits={splits}; leave it out"
        )
    loader: Any = create_timm_loader(dataset, input_size, batch_size, mean=mean, std=std, **kwargs)
    if kwargs.get("use_prefetcher", True):
        loader.mean, loader.std = torch.zeros_like(loader.mean), torch.full_like(loader.std, 255)
        if loader.random_erasing is not None:
            loader.random_erasing = PixelErasing(loader.random_erasing, mean, std)
        return loader
    several = isinstance(loader.dataset, ScheduledTransformDataset)
    for transform in loader.dataset.transforms if several else [loader.dataset.transform]:
        steps = [step for step in transform.transforms if not isinstance(step, Normalize)]
        erasing = isinstance(steps[-1], RandomErasing)
        transform.transforms = [*steps[:-1], PixelErasing(steps[-1], mean, std)] if erasing else steps
    return loader
