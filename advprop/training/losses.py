"""The loss of a run and the mixing of its images, as timm's tasks take them."""

from typing import Any

from timm.data.mixup import Mixup

from advprop.recipes import Recipe


def build_mixup(recipe: Recipe, classes: int) -> Mixup | None:
    """Mixup and CutMix of timm, which smooth the labels themselves; None without them."""
    if not recipe.mixup and not recipe.cutmix:
        return None
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
        num_classes=classes,
    )


def loss_settings(recipe: Recipe, mixed: bool) -> dict[str, Any]:
    """Arguments of timm's `create_classification_loss`.

    Args:
        recipe: The recipe.
        mixed: Whether labels come from mixup: as weights of the classes, smoothed.
    """
    return {
        "loss_type": recipe.loss,
        "smoothing": 0.0 if mixed else recipe.label_smoothing,
        "soft_targets": mixed,
        "bce_target_thresh": recipe.bce_target_thresh,
    }
