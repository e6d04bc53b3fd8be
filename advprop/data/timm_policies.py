"""timm's policies of random changes: AutoAugment, RandAugment, AugMix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from PIL import Image
from timm.data.auto_augment import AugmentOp, posterize


def mend_policy(transform: Any) -> Any:
    """Lets the policy in one of timm's transforms keep no bit of a picture.

    Some policies ask for that: `v0`, and weak or random magnitudes of `rand`. Of zero bits a black picture
    is left, as in the code that timm's is after; but Pillow from 13 on refuses it.
    """
    for change in _changes(transform):
        if change.aug_fn is posterize:
            change.aug_fn = _posterized
    return transform


def _changes(transform: Any) -> Iterator[AugmentOp]:
    for step in transform.transforms:
        groups = getattr(step, "policy", None) or [getattr(step, "ops", [])]
        yield from (change for change in chain.from_iterable(groups) if isinstance(change, AugmentOp))


def _posterized(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    posterized: Image.Image = posterize(image, bits, **options) if bits else Image.new(image.mode, image.size)
    return posterized
