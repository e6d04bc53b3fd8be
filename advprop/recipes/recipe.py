"""The settings of a training run: frozen, checked, from a model's card, a YAML file and the command line."""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from advprop.recipes.settings import (
    RANGES,
    AugmentSettings,
    DataSettings,
    MethodSettings,
    ModelSettings,
    OptimiserSettings,
    RunSettings,
)


@dataclass(frozen=True, kw_only=True)
class Recipe(RunSettings, OptimiserSettings, MethodSettings, ModelSettings, AugmentSettings, DataSettings):
    """All settings of a training run; `make_recipe` makes one from a file, a card or a few settings.

    Raises:
        ValueError: If a number is out of its range, or not finite.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=False)

    def __post_init__(self) -> None:
        for name, (wanted, fits) in RANGES.items():
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
        return yaml.safe_dump(_ADAPTER.dump_python(self, mode="json"), sort_keys=False)


# What data wants that is far from the other defaults, unless the user says otherwise.
_PRESETS: dict[str, Mapping[str, Any]] = {
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
_PRESETS |= {
    f"torch/{name}": {"scale": None, "color_jitter": 0.0}
    for name in ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
}
_METHOD_PRESETS: Mapping[str, Mapping[str, Any]] = {"fast": {"steps": 1, "target": "none"}}

RECIPE_FILE = "recipe.yaml"  # in the directory of a run
_CARD = "card:"
_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def make_recipe(*sources: str | Path | Mapping[str, Any], **settings: Any) -> Recipe:
    """The recipe of a run; what is not set has the defaults of the data.

    Args:
        *sources: YAML files, `"card:NAME"` for the recipe on a model's card, or mappings of settings. A
            later one overrides an earlier one.
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
    of_data = _PRESETS.get(merged.get("data", DataSettings.data), {})
    of_method = _METHOD_PRESETS.get(merged.get("method", MethodSettings.method), {})
    return Recipe(**{**of_data, **of_method, **merged})


def _read(source: str | Path | Mapping[str, Any]) -> tuple[str, Any]:
    if isinstance(source, Mapping):
        return "", source
    if str(source).startswith(_CARD):
        from advprop.recipes.from_card import card_settings

        return f"{source}: ", card_settings(str(source).removeprefix(_CARD))
    path = Path(source)
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
    try:
        recipe = _ADAPTER.validate_python(dict(layer))
    except ValidationError as error:
        raise ValueError(where + "; ".join(_problems(error))) from error
    return {name: getattr(recipe, name) for name in layer}


def _problems(error: ValidationError) -> Iterator[str]:
    known = [each.name for each in fields(Recipe)]
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if name not in known and name:
            near = difflib.get_close_matches(name, known, n=1)
            yield f"unknown setting {name!r}; " + (
                f"did you mean {near[0]!r}?" if near else "leave it out; `advprop train --help` shows all"
            )
        elif problem["type"] == "value_error":
            yield f"{name}: " * bool(name) + problem["msg"].removeprefix("Value error, ")
        else:
            what = problem["msg"][0].lower() + problem["msg"][1:]
            yield f"{name}: {what}, got {problem['input']!r}"
