"""Repeated augmentation: an epoch has fewer images, each several times, and each time changed anew."""

import numpy as np

_ROUND = 256  # what the length of an epoch with repeats is a multiple of, as in timm's RepeatAugSampler


def images_per_epoch(images: int, repeats: int) -> int:
    """Images of a training epoch over all ranks, each counted as often as it comes: as timm counts them.

    Args:
        images: Images of the set.
        repeats: Times that an epoch has each of its images (repeated augmentation), so that it has no more in
            all; 0: every image once.

    Examples:
        >>> from advprop.data import images_per_epoch
        >>> images_per_epoch(1_281_167, 0), images_per_epoch(1_281_167, 3)
        (1281167, 1281024)
    """
    return images // _ROUND * _ROUND if repeats and images >= _ROUND else images


def of_rank(order: np.ndarray, repeats: int, rank: int, ranks: int, share: int) -> np.ndarray:
    """The numbers of a rank's images, batch after batch.

    Without repeats each rank has a part of a batch, `share` images, in one piece. With them the ranks take
    turns in `order`, so that an image is on one rank after the other. The second time that it comes, its
    number is `len(order)` higher, and so on.
    """
    if repeats:
        every = (order[:, None] + np.arange(repeats) * len(order)).reshape(-1)
        return every[: len(order)][rank::ranks]
    steps = len(order) // (ranks * share)
    return order[: steps * ranks * share].reshape(steps, ranks, share)[:, rank].reshape(-1)
