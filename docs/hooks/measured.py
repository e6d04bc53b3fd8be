"""What the programs of `scripts/` have measured, as rows of tables."""

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from advprop.cards import snippet
from advprop.recipes import make_recipe, recipe_names
from scripts.benchmark import share_of_floor, share_of_timm
from scripts.surroundings import ROOT

MEASURED = ROOT / "docs" / "measured"
STANDARD = "standard"
IMAGENET = 1_281_167  # training images


class Trained(NamedTuple):
    """What a method reaches, in per cent: the mean over seeds, and how far it is from standard training.

    The second number of a gain is its standard error over the seeds; None for one seed.
    """

    method: str
    seeds: int
    clean: float
    corrupted: float
    clean_gain: tuple[float, float | None]
    corrupted_gain: tuple[float, float | None]


class Speed(NamedTuple):
    """Images per second, and as a share of timm's: median, least and most.

    `floor` is the share of a step's time that its arithmetic alone explains, and None without standard
    training beside it; `peak_bytes` is None where it was not measured.
    """

    name: str
    images_per_second: float
    share: tuple[float, float, float]
    floor: float | None
    peak_bytes: int | None


def record(name: str) -> Any:
    """What a program has written to `docs/measured/`."""
    return json.loads(text(f"{name}.json"))


def recorded(name: str) -> bool:
    """Whether a program has written to `docs/measured/`."""
    return (MEASURED / f"{name}.json").is_file()


def text(name: str) -> str:
    """A file of `docs/measured/` as it is."""
    return (MEASURED / name).read_text(encoding="utf-8")


def printed(model: str, program: str) -> str:
    """What a program such as `photo/predict.py` printed for a model; empty if it was never run as it is."""
    name = Path(program).stem
    for row in record("snippet_outputs")["printed"]:
        if (row["model"], row["snippet"]) == (model, name) and row["code"] == snippet(name, model):
            return str(row["output"])
    return ""


def trained(runs: list[Mapping[str, Any]]) -> list[Trained]:
    """What each method reaches, the best on corrupted images first; standard training ahead of all."""
    usual_clean, usual_corrupted = (of_seeds(runs, STANDARD, what) for what in ("clean", "corrupted"))
    found = []
    for method in dict.fromkeys(run["method"] for run in runs):
        clean, corrupted = (of_seeds(runs, method, what) for what in ("clean", "corrupted"))
        means = statistics.fmean(clean.values()), statistics.fmean(corrupted.values())
        gains = gain(clean, usual_clean), gain(corrupted, usual_corrupted)
        found.append(Trained(method, len(clean), *means, *gains))
    return sorted(found, key=lambda row: (row.method != STANDARD, -row.corrupted))


def of_seeds(runs: list[Mapping[str, Any]], method: str, what: str) -> dict[int, float]:
    """A number of a method's runs in per cent, by seed."""
    return {run["seed"]: 100 * run[what] for run in runs if run["method"] == method}


def gain(values: Mapping[int, float], others: Mapping[int, float]) -> tuple[float, float | None]:
    """How far values are over others of the same seeds: mean and standard error."""
    differences = [values[seed] - others[seed] for seed in values]
    if len(differences) == 1:
        return differences[0], None
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


def speeds(measured: Mapping[str, Any]) -> list[Speed]:
    """What a benchmark has measured, in its order."""
    rates, peaks = measured["images_per_second"], measured.get("peak_bytes", {})
    return [
        Speed(
            name,
            statistics.median(each),
            share_of_timm(measured, name),
            share_of_floor(measured, name) if STANDARD in rates else None,
            peaks.get(name),
        )
        for name, each in rates.items()
    ]


def on_gpu(measured: Mapping[str, Any]) -> bool:
    """Whether a benchmark is of a GPU, without torch.compile: what runs on ImageNet are reckoned from."""
    return not (measured["device"].startswith("CPU") or measured["compile"])


class Cost(NamedTuple):
    """What a recipe of the package costs: by the images per second of its method on one device."""

    recipe: str
    epochs: int
    images_per_second: float
    hours: float


def costs(measured: Mapping[str, Any]) -> list[Cost]:
    """What the ResNet-50 recipes cost on ImageNet, where a benchmark has measured their steps."""
    rates = {row.name: row.images_per_second for row in speeds(measured)}
    found = []
    for name in filter(lambda each: each.startswith(measured["model"]), recipe_names()):
        recipe = make_recipe(name, data="imagenet")
        step = f"{recipe.method}-{recipe.steps}" if recipe.method == "advprop" else recipe.method
        seconds = recipe.epochs * IMAGENET / rates[step]
        found.append(Cost(name, recipe.epochs, rates[step], seconds / 3600))
    return found


def signed(found: tuple[float, float | None]) -> str:
    """A gain in points, with its standard error where there is one.

    Examples:
        >>> from docs.hooks.measured import signed
        >>> signed((0.349, None)), signed((-1.5, 0.25))
        ('+0.3', '-1.5 ± 0.2')
    """
    mean, error = found
    return f"{mean:+.1f}" + (f" ± {error:.1f}" if error is not None else "")


def percent(share: float) -> str:
    """A probability for readers, rounded down where rounding would make a certainty of it.

    Examples:
        >>> from docs.hooks.measured import percent
        >>> percent(0.9465), percent(0.9997)
        ('94.7%', '99.9%')
    """
    return f"{min(100 * share, 99.9):.1f}%"


def stamp(found: Mapping[str, Any]) -> str:
    """When, on what and with what something was measured."""
    with_what = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"Measured on {found['date']} on {found['device']}, commit `{found['commit']}`, with {with_what}."
