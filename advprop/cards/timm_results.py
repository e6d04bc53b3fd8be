"""Measured accuracy and speed of the EfficientNets of the model index and of their siblings.

The figures are timm's, carried into `data_files/timm_imagenet_results.csv`; the YAML beside it says from
which commit, and what each column is.
"""

import csv
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import Field

from advprop.cards.model_card import Record
from advprop.runtime import nearest, package_folder


class TestSet(Record):
    """Images that accuracy was measured on, and the file of the source that has the figures."""

    __test__ = False  # no test of pytest's
    name: str
    meaning: str
    file: str
    paper: str


class Hardware(Record):
    """What a speed was measured with, and the file of the source that has the figures."""

    task: Literal["inference", "training"]
    device: str
    precision: str
    layout: str
    torch: str
    file: str


class Accuracy(Record):
    """Shares of images in per cent whose label is the best guess, or among the best five."""

    top1: float
    top5: float


class Throughput(Record):
    """Images per second, and on what."""

    images_per_second: float
    hardware: Hardware


class Result(Record):
    """One checkpoint: the setting it was measured in, accuracy by test set, throughput.

    Attributes:
        model: timm's current name, such as `tf_efficientnet_b0.ap_in1k`.
        variant: Size of the architecture, `b0` to `b8`.
        recipe: How it was trained, a key of `Results.recipes`.
        parameters: In millions.
        gmacs: Multiply-accumulates of a forward pass, in thousand millions, as timm counts them.
        accuracy: By key of `Results.test_sets`.
    """

    model: str
    variant: str
    recipe: str
    image_size: int = Field(validation_alias="img_size")
    crop_pct: float
    interpolation: str
    parameters: float = Field(validation_alias="param_count_M")
    gmacs: float
    accuracy: dict[str, Accuracy]
    throughput: tuple[Throughput, ...]


class Results(Record):
    """All checkpoints, with the source of the figures and what to bear in mind about them."""

    source: str
    commit: str
    licence: str
    measured_by: str
    recipes: dict[str, str]
    test_sets: dict[str, TestSet]
    caveats: tuple[str, ...]
    rows: tuple[Result, ...]

    def of(self, model: str) -> Result | None:
        """The result of a checkpoint by timm's current name, if it was measured."""
        return next((row for row in self.rows if row.model == model), None)

    def siblings(self, variant: str) -> tuple[Result, ...]:
        """All recipes of one size, in the order of the table."""
        return tuple(row for row in self.rows if row.variant == variant)

    def top1(self, recipe: str, test_set: str = "imagenet") -> dict[str, float]:
        """Accuracy in per cent of a recipe on a test set, by size.

        Raises:
            ValueError: If there is no such recipe or test set.
        """
        for kind, key, known in (("recipe", recipe, self.recipes), ("test set", test_set, self.test_sets)):
            if key not in known:
                raise ValueError(f"there is no {kind} {key!r}; {nearest(key, known)}")
        return {row.variant: row.accuracy[test_set].top1 for row in self.rows if row.recipe == recipe}

    def gain(self, recipe: str, over: str, test_set: str = "imagenet") -> dict[str, float]:
        """Points of top-1 accuracy that one recipe is above another, for each size that has both.

        Raises:
            ValueError: If there is no such recipe or test set.

        Examples:
            >>> from advprop.cards.timm_results import load_results
            >>> load_results().gain("ap_in1k", over="aa_in1k", test_set="v2")["b0"]
            1.01
        """
        ours, theirs = self.top1(recipe, test_set), self.top1(over, test_set)
        return {size: round(ours[size] - theirs[size], 3) for size in ours if size in theirs}


def load_results() -> Results:
    """Read the measured accuracies and speeds that come with the package.

    Examples:
        >>> from advprop.cards.timm_results import load_results
        >>> load_results().of("tf_efficientnet_b0.ap_in1k").accuracy["imagenet"].top1
        77.1
    """
    path = package_folder("data_files") / "timm_imagenet_results.csv"
    about = yaml.safe_load(path.with_suffix(".yaml").read_text(encoding="utf-8"))
    hardware = about.pop("throughputs")
    with path.open(encoding="utf-8", newline="") as table:
        rows = [_row(line, about["test_sets"], hardware) for line in csv.DictReader(table)]
    return Results.model_validate(about | {"rows": rows})


def _row(line: dict[str, Any], test_sets: Mapping[str, Any], hardware: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a result: columns as they are, but for those that make up accuracy and throughput."""
    tops = ("top1", "top5")
    accuracy = {key: {top: line.pop(f"{key}_{top}") for top in tops} for key in test_sets}
    throughput = [{"images_per_second": line.pop(column), "hardware": on} for column, on in hardware.items()]
    return line | {"accuracy": accuracy, "throughput": throughput}
