"""The settings of a training run: frozen, checked, from a model's card, a YAML file and the command line."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, Unpack, get_args, get_origin

from advprop.recipes.named import recipe_path
from advprop.recipes.options import Options
from advprop.recipes.settings import (
    AugmentSettings,
    DataSettings,
    MethodSettings,
    ModelSettings,
    OptimizerSettings,
    RunSettings,
)
from advprop.runtime import nearest

if TYPE_CHECKING:  # help is shown without them
    from pydantic import TypeAdapter, ValidationError

Range: TypeAlias = tuple[str, Callable[[Any], bool]]

_SHARE: Range = ("from 0 to 1", lambda x: 0 <= x <= 1)
_COUNT: Range = ("1 or more", lambda x: x >= 1)
_POSITIVE: Range = ("over 0", lambda x: x > 0)
_NOT_NEGATIVE: Range = ("0 or more", lambda x: x >= 0)

_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("train_images", "classes", "image_size", "threads"), _COUNT),
    **dict.fromkeys(("epochs", "batch_size", "test_batch_size", "accumulate", "lr_base_size"), _COUNT),
    **dict.fromkeys(("test_every", "log_every", "save_every", "keep", "prefetch_factor"), _COUNT),
    **dict.fromkeys(("lr", "step_size", "clip_grad", "decay_epochs", "crop_pct"), _POSITIVE),
    **dict.fromkeys(("steps", "weight_decay", "warmup_epochs", "warmup_lr", "seed"), _NOT_NEGATIVE),
    **dict.fromkeys(("workers", "shift", "color_jitter", "mixup", "cutmix", "aug_repeats"), _NOT_NEGATIVE),
    **dict.fromkeys(("eps", "momentum", "decay_rate", "label_smoothing", "flip", "erase"), _SHARE),
    **dict.fromkeys(("drop_rate", "drop_path_rate", "bn_momentum"), _SHARE),
    "ema": ("at least 0 and under 1, or the average stays at the first weights", lambda x: 0 <= x < 1),
    **dict.fromkeys(
        ("share", "test_share", "bce_target_thresh"), ("over 0 and under 1", lambda x: 0 < x < 1)
    ),
    "layer_decay": ("over 0 and at most 1", lambda x: 0 < x <= 1),
    "decay_milestones": ("epochs in rising order", lambda x: all(map(operator.lt, (0, *x), x))),
    "scale": ("two shares, over 0 and at most 1", lambda x: 0 < x[0] <= x[1] <= 1),
    "severities": ("from 1 to 5 each", lambda x: set(x) <= {1, 2, 3, 4, 5}),
}

# What a model is made with that does not come from `model_args`, and where it comes from.
_NO_MODEL_ARGS = {
    **dict.fromkeys(("num_classes", "in_chans"), "follows from the data (--classes, --channels)"),
    "img_size": "follows from the images (--image-size)",
    "drop_rate": "is a setting of its own (--drop-rate)",
    "drop_path_rate": "is a setting of its own (--drop-path-rate)",
    **dict.fromkeys(("model_name", "pretrained"), "is a setting of its own (--model, --pretrained)"),
    **dict.fromkeys(
        ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
        "is about weights (--weights)",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Recipe(RunSettings, OptimizerSettings, MethodSettings, ModelSettings, AugmentSettings, DataSettings):
    """All settings of a training run; `make_recipe` makes one from a file, a card or a few settings.

    Raises:
        ValueError: If a number is out of its range, or not finite.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name, (wanted, fits) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, got {value}; give one {wanted}")
            if value is not None and not fits(value):
                raise ValueError(f"{name} must be {wanted}, got {value}")

    @property
    def scaled_lr(self) -> float:
        """The learning rate for this batch size."""
        return self.lr * self.batch_size / self.lr_base_size if self.lr_base_size else self.lr

    def to_yaml(self) -> str:
        """All settings as YAML that `make_recipe` reads back."""
        import yaml

        return yaml.safe_dump(_adapter().dump_python(self, mode="json"), sort_keys=False)


# What data wants that is far from the other defaults, unless the user says otherwise.
PRESETS: dict[str, Mapping[str, Any]] = {
    "digits": {
        "model": "advprop_convnet",
        "scale": None,
        "flip": 0.0,
        "color_jitter": 0.0,
        "eps": 0.2,
        "steps": 3,
        "epochs": 40,
        "batch_size": 20,
        "lr": 0.1,
        "lr_base_size": None,
        "weight_decay": 5e-4,
        "label_smoothing": 0.0,
        "threads": 1,
        "test_every": 10,
        "severities": (3,),
    },
}
# Small images of one size, which stay on the device as they are.
PRESETS |= {
    f"torch/{name}": {"scale": None, "color_jitter": 0.0}
    for name in ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
}
_METHOD_PRESETS: Mapping[str, Mapping[str, Any]] = {"fast": {"steps": 1, "target": "none"}}

RECIPE_FILE = "recipe.yaml"  # in the directory of a run
_CARD = "card:"


@cache
def _adapter() -> TypeAdapter[Recipe]:
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def make_recipe(*sources: str | Path | Mapping[str, Any], **settings: Unpack[Options]) -> Recipe:
    """The recipe of a run; what is not set has the defaults of the data.

    Args:
        *sources: YAML files, names of recipes that come with the package such as `"resnet50"`, `"card:NAME"`
            for the recipe on a model's card, or mappings of settings. A later one overrides an earlier one.
        **settings: Single settings; they override all sources.

    Raises:
        ValueError: If a setting is unknown (the message has the nearest name), of a wrong type or out of
            its range, or a file cannot be read.

    Examples:
        >>> from advprop import make_recipe
        >>> recipe = make_recipe(method="standard", epochs=3)
        >>> recipe.data, recipe.model, recipe.epochs
        ('digits', 'advprop_convnet', 3)
    """
    merged: dict[str, Any] = {}
    for where, layer in (*map(_read, sources), ("", settings)):
        merged |= _checked(layer, where)
    of_data = PRESETS.get(merged.get("data", DataSettings.data), {})
    of_method = _METHOD_PRESETS.get(merged.get("method", MethodSettings.method), {})
    recipe = Recipe(**{**of_data, **of_method, **merged})
    _check_together(recipe)
    return recipe


def _check_together(recipe: Recipe) -> None:
    """Raises ValueError if a setting can do nothing beside the others."""
    if recipe.bce_target_thresh is not None and recipe.loss != "bce":
        raise ValueError(
            f"bce_target_thresh acts on binary cross-entropy alone, got {recipe.bce_target_thresh:g} with "
            f"loss {recipe.loss}; take that (--loss bce), or leave it out"
        )
    if recipe.prefetch_factor is not None and not recipe.workers:
        raise ValueError(
            "prefetch_factor needs processes that read images (--workers), got workers 0; "
            "take 1 or more, or leave it out"
        )
    for name in recipe.model_args:
        if name in _NO_MODEL_ARGS:
            raise ValueError(f"model_args must not have {name}, which {_NO_MODEL_ARGS[name]}; leave it out")


def _read(source: str | Path | Mapping[str, Any]) -> tuple[str, Any]:
    if isinstance(source, Mapping):
        return "", source
    if str(source).startswith(_CARD):
        from advprop.recipes.from_card import card_settings

        return f"{source}: ", card_settings(str(source).removeprefix(_CARD))
    import yaml

    path = recipe_path(source)
    try:
        return f"{path}: ", yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ValueError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _checked(layer: Any, where: str) -> dict[str, Any]:
    """The settings of one source, in their types."""
    if not isinstance(layer, Mapping):
        raise ValueError(f"{where}a recipe is a list of `setting: value`, got {layer!r}")
    if not layer:
        return {}
    from pydantic import ValidationError

    try:
        recipe = _adapter().validate_python(_with_nothing(layer))
    except ValidationError as error:
        raise ValueError(where + "; ".join(_problems(error))) from error
    return {name: getattr(recipe, name) for name in layer}


def _with_nothing(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with `none` in any case, and YAML's null, as what each has for no value."""
    types = {each.name: each.type for each in fields(Recipe)}
    found = dict(layer)
    for name in (name for name, value in layer.items() if str(value).lower() == "none"):
        kinds = get_args(types.get(name))
        if type(None) in kinds:
            found[name] = None
        elif "none" in kinds:
            found[name] = "none"
        elif get_origin(types.get(name)) is tuple:
            found[name] = ()
    return found


def _problems(error: ValidationError) -> Iterator[str]:
    known = [each.name for each in fields(Recipe)]
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if name and name not in known:
            advice = nearest(name, known, "leave it out; `advprop train --help` shows all")
            yield f"unknown setting {name!r}; {advice}"
        elif problem["type"] == "value_error":
            yield f"{name}: " * bool(name) + problem["msg"].removeprefix("Value error, ")
        else:
            what = problem["msg"][0].lower() + problem["msg"][1:]
            yield f"{name}: {what}, got {problem['input']!r}"
