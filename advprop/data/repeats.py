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


def repeated(order: np.ndarray, repeats: int) -> np.ndarray:
    """As many numbers, each so many times in a row; the second time it is `len(order)` higher."""
    if not repeats:
        return order
    return (order[:, None] + np.arange(repeats) * len(order)).reshape(-1)[: len(order)]
