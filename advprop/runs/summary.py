"""What came out of a run: numbers for a program, a table for a reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from advprop.evaluation import CORRUPTIONS, Accuracy
from advprop.recipes import Recipe, short_number
from advprop.runs.directory import Run
from advprop.runs.report import Report
from advprop.runtime import format_table

# The four groups of Hendrycks and Dietterich (2019), in the order of the kinds.
GROUPS: Mapping[str, Sequence[str]] = {
    "noise": CORRUPTIONS[:3],
    "blur": CORRUPTIONS[3:7],
    "weather": CORRUPTIONS[7:11],
    "digital": CORRUPTIONS[11:],
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of a run.

    Args:
        run: Where it is.
        recipe: What it was.
        clean: Accuracy on the test images.
        corrupted: Accuracy on them by kind and severity of corruption.
        seconds: How long the training took, with the tests after each epoch.
        report: What it answers to the test images.
    """

    run: Run
    recipe: Recipe
    clean: Accuracy
    corrupted: dict[str, dict[int, Accuracy]]
    seconds: float
    report: Report = field(compare=False, repr=False)

    def mean_corrupted(self, kinds: Iterable[str] = CORRUPTIONS) -> float:
        """Mean top-1 accuracy over kinds and severities of corruption, in [0, 1]."""
        return mean_top1(self.corrupted[kind] for kind in kinds)

    def to_dict(self) -> dict[str, Any]:
        """Numbers and texts only, for a file."""
        corrupted = {
            kind: {str(severity): each.to_dict() for severity, each in row.items()}
            for kind, row in self.corrupted.items()
        }
        return {"clean": self.clean.to_dict(), "corrupted": corrupted, "seconds": self.seconds}


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """Accuracy in percent of each run: clean with its interval, corrupted, and by group of corruptions."""
    rows = []
    for outcome in outcomes:
        low, high = outcome.clean.interval
        row = [outcome.recipe.method, outcome.clean.top1, f"{100 * low:.1f} to {100 * high:.1f}"]
        if outcome.corrupted:
            row += [outcome.mean_corrupted(), *map(outcome.mean_corrupted, GROUPS.values())]
        rows.append(row)
    heads = ["method", "clean", "95 % interval", "corrupted", *GROUPS][: max(map(len, rows))]
    return _percent_table(heads, rows)


def corruption_table(found: Mapping[str, Mapping[int, Accuracy]]) -> str:
    """Accuracy in percent by kind and severity of corruption, with the means."""
    severities = list(next(iter(found.values())))
    rows = [[kind, *(each.top1 for each in row.values()), mean_top1([row])] for kind, row in found.items()]
    means = [mean_top1({0: row[severity]} for row in found.values()) for severity in severities]
    rows.append(["mean", *means, mean_top1(found.values())])
    return _percent_table(["severity", *map(str, severities), "mean"], rows)


def attack_table(found: Mapping[float, Mapping[int, Accuracy]]) -> str:
    """Accuracy in percent by radius and number of steps of an attack."""
    steps = next(iter(found.values()))
    rows = [[short_number(eps), *(each.top1 for each in row.values())] for eps, row in found.items()]
    return _percent_table(["eps", *(f"{count} steps" for count in steps)], rows)


def mean_top1(rows: Iterable[Mapping[int, Accuracy]]) -> float:
    """Mean top-1 accuracy over all cells of a table, in [0, 1]."""
    return fmean(each.top1 for row in rows for each in row.values())


def _percent_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = [[each if isinstance(each, str) else f"{100 * each:.1f}" for each in row] for row in rows]
    return format_table(heads, cells, right=range(1, len(heads)))
