"""Charts of the measured results, drawn when the site is built."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from advprop.cards.timm_results import Result, Results
from docs.hooks.svg import drawing, element, figure, path, rect, text, tip

OURS, BASE = "ap_in1k", "aa_in1k"
GAINS = ("imagenet", "v2", "a", "r", "sketch")
WIDTH = 460.0


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` as places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def accuracy_chart(results: Results) -> str:
    """ImageNet accuracy against multiply-accumulates, with AdvProp and with AutoAugment alone."""
    rows = [row for row in results.rows if row.recipe in (OURS, BASE)]
    costs = [math.log10(row.gmacs) for row in rows]
    x = Scale(min(costs), max(costs), 52, 426)
    y = Scale(*_even(map(_top1, rows)), 260, 36)
    content = [text(0, 16, "ImageNet top-1, %", anchor="start", class_="quiet"), *_grid(x, y)]
    for recipe, kind in ((BASE, "soft"), (OURS, "adv")):
        series = [row for row in rows if row.recipe == recipe]
        content.append(path(((x(math.log10(row.gmacs)), y(_top1(row))) for row in series), f"curve-{kind}"))
        content += [_point(row, x(math.log10(row.gmacs)), y(_top1(row)), kind) for row in series]
    names = results.recipes
    picture = drawing(
        WIDTH,
        310,
        *content,
        _legend(((names[OURS], "adv"), (f"{names[BASE]} alone", "soft"))),
        name="accuracy",
        title="Accuracy against cost",
        description=_spoken({row.variant: _top1(row) for row in rows if row.recipe == OURS}),
    )
    return figure(picture, f"Top-1 accuracy on {results.test_sets['imagenet'].meaning}. {_credit(results)}")


def gain_chart(results: Results) -> str:
    """Points of accuracy that AdvProp adds, by test set and size, all on one scale."""
    gains = {key: results.gain(OURS, BASE, key) for key in GAINS}
    sizes = list(gains[GAINS[0]])
    unit = 72 / max(max(row.values()) for row in gains.values())
    content, y = [text(WIDTH, 16, "points of top-1", anchor="end", class_="quiet")], 0.0
    for key, row in gains.items():
        floor = y + 42 + max(row.values()) * unit
        content.append(text(0, y + 16, results.test_sets[key].name, anchor="start", class_="strong"))
        content += _bars(row, floor, unit)
        y = floor + max(-min(row.values()), 0) * unit + 20
    content += [
        text(_middle(place, len(sizes)), y + 12, size.upper(), class_="quiet")
        for place, size in enumerate(sizes)
    ]
    picture = drawing(
        WIDTH,
        y + 20,
        *content,
        name="gains",
        title="What AdvProp adds",
        description="; ".join(f"{results.test_sets[key].name}: {_spoken(row)}" for key, row in gains.items()),
    )
    sets = "; ".join(
        f"{results.test_sets[key].name} has {results.test_sets[key].meaning}" for key in GAINS[1:]
    )
    return figure(
        picture,
        f"Points of top-1 accuracy above the same network trained with {results.recipes[BASE]} alone. "
        f"{sets}. {results.caveats[0]} {_credit(results)}",
    )


def _bars(row: Mapping[str, float], floor: float, unit: float) -> list[str]:
    width = WIDTH / len(row) - 14
    drawn = [path([(0, floor), (WIDTH, floor)], "axis")]
    for place, (size, gain) in enumerate(row.items()):
        x, height = _middle(place, len(row)), abs(gain) * unit
        top = floor - height if gain > 0 else floor
        words = f"{size.upper()}: {gain:+.2f} points"
        drawn.append(
            rect(x - width / 2, top, width, height, "bar-adv" if gain > 0 else "bar-soft", tip(words), rx=0)
        )
        drawn.append(text(x, min(top, floor) - 5, f"{gain:+.1f}".replace("-", "\u2212"), class_="small"))
    return drawn


def _middle(place: int, count: int) -> float:
    return (place + 0.5) * WIDTH / count


def _point(row: Result, x: float, y: float, kind: str) -> str:
    words = f"{row.model}: {_top1(row):.2f} % with {row.gmacs:g} GMACs"
    dot = element("circle", tip(words), cx=x, cy=y, r=4.5, class_=f"dot-{kind}")
    return dot + (text(x, y - 12, row.variant.upper(), class_="small") if kind == "adv" else "")


def _grid(x: Scale, y: Scale) -> list[str]:
    """Lines at even percentages, and ticks at 1, 3, 10, 30 ... thousand million multiply-accumulates."""
    drawn = []
    for value in range(int(y.low), int(y.high) + 1, 2):
        drawn.append(path([(36, y(value)), (444, y(value))], "grid"))
        drawn.append(text(28, y(value) + 5, str(value), anchor="end", class_="quiet"))
    for tick in (base * 10.0**power for power in range(-1, 4) for base in (1, 3)):
        if x.low <= math.log10(tick) <= x.high:
            drawn.append(text(x(math.log10(tick)), y.start + 20, f"{tick:g} G", class_="quiet"))
    label = text(444, y.start + 42, "multiply-accumulates of one image", anchor="end", class_="quiet")
    return [*drawn, label]


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    return "".join(
        element("circle", cx=270, cy=206 + 22 * row, r=4.5, class_=f"dot-{kind}")
        + text(282, 211 + 22 * row, name, anchor="start")
        for row, (name, kind) in enumerate(entries)
    )


def _top1(row: Result) -> float:
    return row.accuracy["imagenet"].top1


def _even(values: Iterable[float]) -> tuple[int, int]:
    """The even numbers around all values."""
    found = list(values)
    return 2 * math.floor(min(found) / 2), 2 * math.ceil(max(found) / 2)


def _spoken(values: Mapping[str, float]) -> str:
    return ", ".join(f"{size.upper()} {value:g}" for size, value in values.items())


def _credit(results: Results) -> str:
    return f'Measured by {results.measured_by} (<a href="{results.source}">source</a>, {results.licence}).'
