"""Single images of a set, for a reader: what they are called and what they look like."""

from collections.abc import Sequence

import torch
from torch import Tensor

from advprop.data.batches import ImageSet, TensorSet
from advprop.data.image_files import name_of
from advprop.data.loaded_set import LoadedSet


def name_in(images: ImageSet, number: int) -> str:
    """The file of an image, or its number where it has none.

    Examples:
        >>> from advprop.data import digits, name_in
        >>> name_in(digits().test, 7)
        'image 7'
    """
    source = images.samples.source if isinstance(images, LoadedSet) else images
    return name_of(source, number)


def pixels_in(images: ImageSet, numbers: Sequence[int]) -> Tensor:
    """Pixels `[N, C, H, W]` in [0, 1] of some images, on the CPU, as a model sees them in a test.

    They are read by this process: a set that lends its images to processes of its own starts none.

    Raises:
        OSError: If an image cannot be read.
    """
    if isinstance(images, TensorSet):
        [(pixels, _)] = images.batches(iter([list(numbers)]))
        return pixels.cpu()
    if not isinstance(images, LoadedSet):
        raise ValueError(f"images must be a TensorSet or a LoadedSet, got {type(images).__name__}")
    samples = [images.samples[0, number] for number in numbers]
    for sample in samples:
        if sample.image is None:
            raise OSError(f"cannot read {sample.problems[0]}")
    return torch.stack([torch.as_tensor(sample.image) for sample in samples]).float() / 255
