"""timm's transforms of single images, to bytes: random changes for training, the model's crop for testing."""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, TypeAlias, cast

from PIL import Image
from timm.data.auto_augment import AugmentOp, posterize
from timm.data.transforms_factory import create_transform

from advprop.data.batches import Images
from advprop.recipes import AugmentSettings

Transform: TypeAlias = Callable[[Image.Image], Any]


def training_transform(augment: AugmentSettings, images: Images, config: Mapping[str, Any]) -> Transform:
    """PIL image to bytes `[C, H, W]`, with random changes.

    Raises:
        ValueError: If timm has no such policy.
    """
    try:
        transform: Transform = create_transform(
            images.shape,
            is_training=True,
            scale=augment.scale or (1.0, 1.0),
            ratio=None if augment.scale else (1.0, 1.0),
            hflip=augment.flip,
            color_jitter=cast(Any, augment.color_jitter or None),
            auto_augment=augment.auto_augment,
            interpolation=images.interpolation,
            mean=config["mean"],
            std=config["std"],
            use_prefetcher=True,  # bytes, not normalized
        )
    except (AssertionError, KeyError, ValueError) as error:
        raise ValueError(f"there is no auto_augment {augment.auto_augment!r}: {error}") from error
    mend_policy(transform)
    return transform


def testing_transform(images: Images) -> Transform:
    """PIL image to bytes `[C, H, W]`, as the model is tested."""
    transform: Transform = create_transform(
        images.shape,
        crop_pct=images.crop_pct,
        crop_mode=images.crop_mode,
        interpolation=images.interpolation,
        use_prefetcher=True,
    )
    return transform


def mend_policy(transform: Any) -> None:
    """Lets the policy in a timm transform keep no bit of an image.

    Some policies ask for that: `v0`, and weak or random magnitudes of `rand`. Of zero bits a black image is
    left, as in the code that timm's is after; but Pillow from 13 on refuses it.
    """
    for step in transform.transforms:
        groups = getattr(step, "policy", None) or [getattr(step, "ops", [])]
        for change in chain.from_iterable(groups):
            if isinstance(change, AugmentOp) and change.aug_fn is posterize:
                change.aug_fn = _posterized


def _posterized(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    posterized: Image.Image = posterize(image, bits, **options) if bits else Image.new(image.mode, image.size)
    return posterized
