"""The settings of a folder with few images, chosen by what `scripts/small_folders.py` measures."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from advprop.recipes.fractions import written
from advprop.recipes.recipe import PRESETS, Recipe

# Up to how many training images a folder is small; settings for more are those of ImageNet.
FEW_IMAGES = 5000
# The model of a small folder: the first of these that has weights at hand, or the last one without.
AUTO = "auto"
AUTO_MODELS = ("tf_efficientnet_b0.ap_in1k", "tf_efficientnet_lite0.pypi_in1k")
SMALL_FOLDER: Mapping[str, Any] = {
    "model": AUTO,
    "pretrained": True,
    "epochs": 20,
    "batch_size": 16,
    "lr": 0.01,
    "lr_base_size": None,
    "warmup_epochs": 1,
    "scale": (0.5, 1.0),
    "color_jitter": 0.2,
    "steps": 1,
    "test_every": 5,
}


def small_folder(images: int, ranks: int = 1) -> dict[str, Any]:
    """The settings of a small folder.

    Args:
        images: Number of its training images: a batch has no more than these.
        ranks: Number of processes that a batch must be split over.

    Examples:
        >>> from advprop.recipes import small_folder
        >>> small_folder(images=7, ranks=2)["batch_size"]
        6
    """
    batch = min(SMALL_FOLDER["batch_size"], images)
    return {**SMALL_FOLDER, "batch_size": max(batch - batch % ranks, 1)}


def defaults_by_data() -> list[tuple[str, ...]]:
    """The defaults that depend on the data, for the digits, a small folder, and ImageNet or other large data.

    Each row has the name of a setting and its three values as the command line writes them.
    """
    recipes = Recipe(**PRESETS["digits"]), Recipe(**SMALL_FOLDER), Recipe()
    names = [each.name for each in fields(Recipe)]
    rows = [(name, *(written(getattr(recipe, name)) for recipe in recipes)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]
