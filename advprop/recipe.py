"""The settings of a training run: frozen, checked, from a model's card, a YAML file and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import yaml
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

Method: TypeAlias = Literal["advprop", "fast", "adversarial", "standard"]
Target: TypeAlias = Literal["random", "least_likely", "none"]


def parse_fraction(value: Any) -> Any:
    """A number that may be written as a fraction: `4/255`."""
    if not isinstance(value, str) or "/" not in value:
        return value
    above, _, below = value.partition("/")
    try:
        return float(above) / float(below)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number such as 0.1 or 4/255, got {value!r}") from None


def short_number(value: float) -> str:
    """A number as a reader would write it: `4/255` where it is no short decimal.

    Examples:
        >>> from advprop.recipe import short_number
        >>> short_number(4 / 255), short_number(0.15)
        ('4/255', '0.15')
    """
    levels = round(255 * value)
    return f"{levels}/255" if len(repr(value)) > 8 and value == levels / 255 else f"{value:g}"


Pixels: TypeAlias = Annotated[float, BeforeValidator(parse_fraction)]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What to train on.

    Args:
        data: Where the images are: `digits` comes with the package.
        train_images: Number of training images of the digits; the others are for testing.
    """

    data: str = "digits"
    train_images: int = 200


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What to train.

    Args:
        model: Name of a model: `advprop_convnet`, or any of timm's.
        pretrained: Start from the pretrained weights of that name, with a new last layer.
    """

    model: str = "resnet50"
    pretrained: bool = False


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """How to train: with which images, through which norms.

    Args:
        method: `advprop` clean and adversarial images, each through their own batch norms; `fast` the
            same at about the price of standard training; `adversarial` both through the same batch
            norms; `standard` clean images only.
        eps: How far an adversarial pixel may be from the clean one, of [0, 1], such as 4/255.
        steps: Steps of the attack.
        step_size: Length of a step, of [0, 1]; by default eps / (steps - 1), or eps for one step.
        target: Class that the attack drives an image towards; none: away from its label.
        share: Share of the images that `fast` attacks.
    """

    method: Method = "advprop"
    eps: Pixels = 4 / 255
    steps: int = 5
    step_size: Pixels | None = None
    target: Target = "random"
    share: float = 0.2


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """How long, with which optimiser and schedule.

    Args:
        epochs: Passes over the training images.
        batch_size: Images in one optimiser step, over all devices.
        opt: Name of one of timm's optimisers.
        lr: Learning rate at the end of the warm-up.
        lr_base_size: Batch size that `lr` is meant for: it is scaled to `batch_size`; none: taken as it is.
        momentum: Momentum of the optimiser.
        opt_args: More arguments of the optimiser, such as `alpha 0.9 eps 0.001`.
        weight_decay: Weight decay; biases and norms have none.
        sched: Name of one of timm's schedules: cosine, step, constant ...
        warmup_epochs: Epochs over which the learning rate rises from `warmup_lr`.
        warmup_lr: Learning rate of the first step.
        decay_epochs: Epochs between two decays of the schedule `step`.
        decay_rate: What such a decay multiplies the learning rate by.
        label_smoothing: Share of a label that is spread over all classes.
        clip_grad: Largest norm of the gradient; none: any.
    """

    epochs: int = 100
    batch_size: int = 256
    opt: str = "sgd"
    lr: float = 0.1
    lr_base_size: int | None = 256
    momentum: float = 0.9
    opt_args: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 1e-4
    sched: str = "cosine"
    warmup_epochs: float = 5
    warmup_lr: float = 1e-5
    decay_epochs: float = 30
    decay_rate: float = 0.1
    label_smoothing: float = 0.1
    clip_grad: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where and how it runs.

    Args:
        seed: Seed of everything random.
        device: cpu, cuda, mps; auto takes the best there is.
        threads: CPU threads; none: as many as torch likes. Tiny images are fastest with one, and results
            repeat bit for bit only with the same number.
        test_every: Epochs between two tests on the test images, beside the one at the end.
        log_every: Optimiser steps between two records of the losses, beside the one after each epoch.
        save_every: Optimiser steps between two checkpoints, beside the one after each epoch.
        keep: Number of checkpoints to keep, beside the best.
        severities: Severities of the 15 corruptions of the test images at the end; none: no corruptions.
    """

    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    test_every: int = 1
    log_every: int = 50
    save_every: int | None = None
    keep: int = 2
    severities: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recipe(RunSettings, OptimiserSettings, MethodSettings, ModelSettings, DataSettings):
    """All settings of a training run; `make_recipe` makes one from a file, a card or a few settings.

    Raises:
        ValueError: If a number is out of its range.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=False)

    def __post_init__(self) -> None:
        for name, (wanted, fits) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not fits(value):
                raise ValueError(f"{name} must be {wanted}, got {value}")

    @property
    def scaled_lr(self) -> float:
        """The learning rate for this batch size."""
        return self.lr * self.batch_size / self.lr_base_size if self.lr_base_size else self.lr

    def to_yaml(self) -> str:
        """All settings as YAML that `make_recipe` reads back."""
        return yaml.safe_dump(_ADAPTER.dump_python(self, mode="json"), sort_keys=False)


_SHARE = ("from 0 to 1", lambda x: 0 <= x <= 1)
_COUNT = ("1 or more", lambda x: x >= 1)
_POSITIVE = ("over 0", lambda x: x > 0)
_NOT_NEGATIVE = ("0 or more", lambda x: x >= 0)
_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("train_images", "epochs", "batch_size", "lr_base_size", "log_every", "save_every", "keep"), _COUNT
    ),
    **dict.fromkeys(("lr", "step_size", "clip_grad", "decay_epochs"), _POSITIVE),
    **dict.fromkeys(("steps", "weight_decay", "warmup_epochs", "warmup_lr", "seed"), _NOT_NEGATIVE),
    **dict.fromkeys(("eps", "momentum", "decay_rate", "label_smoothing"), _SHARE),
    "severities": ("from 1 to 5 each", lambda x: set(x) <= {1, 2, 3, 4, 5}),
    "share": ("over 0 and under 1", lambda x: 0 < x < 1),
}

# What data wants that is far from the other defaults, unless the user says otherwise.
_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "digits": {
        "model": "advprop_convnet",
        "eps": 0.15,
        "steps": 3,
        "epochs": 60,
        "batch_size": 50,
        "lr": 0.1,
        "lr_base_size": None,
        "weight_decay": 5e-4,
        "label_smoothing": 0.0,
        "threads": 1,
        "test_every": 10,
        "severities": (3,),
    },
}
_METHOD_PRESETS: Mapping[str, Mapping[str, Any]] = {"fast": {"steps": 1, "target": "none"}}

_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def make_recipe(*sources: str | Path | Mapping[str, Any], **settings: Any) -> Recipe:
    """The recipe of a run; what is not set has the defaults of the data.

    Args:
        *sources: YAML files, or mappings of settings. A later one overrides an earlier one.
        **settings: Single settings; they override all sources.

    Raises:
        ValueError: If a setting is unknown (the message has the nearest name), of a wrong type or out of
            its range, or a file cannot be read.

    Examples:
        >>> from advprop.recipe import make_recipe
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
                f"did you mean {near[0]!r}?" if near else f"known: {known}"
            )
        elif problem["type"] == "value_error":
            yield f"{name}: " * bool(name) + problem["msg"].removeprefix("Value error, ")
        else:
            what = problem["msg"][0].lower() + problem["msg"][1:]
            yield f"{name}: {what}, got {problem['input']!r}"
