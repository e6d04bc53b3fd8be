"""Charts of the measured results, drawn by matplotlib when the site is built."""

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advprop.cards import Results
from advprop.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, notebook_style
from docs.hooks.outputs import Figures
from scripts.benchmark import arithmetic_floor

OURS, BASE = "ap_in1k", "aa_in1k"
GAINS = ("imagenet", "v2", "a", "r", "sketch")
_METHODS = {"fast": "Fast AdvProp", "advprop": "AdvProp", "advprop-1": "AdvProp-1", "advprop-5": "AdvProp-5"}
_COLORS = {"fast": GREEN, "advprop-1": ORANGE, "advprop-5": BLUE}
_FLOOR = "by arithmetic alone"
_WIDTH, _FONT_SIZE = 4.6, 11  # inches and points: on a phone, too, the words are legible


@matplotlib.rc_context()
def accuracy_chart(results: Results) -> str:
    """ImageNet accuracy against multiply-accumulates, with AdvProp and with AutoAugment alone."""
    notebook_style()
    matplotlib.rcParams["font.size"] = _FONT_SIZE
    drawn = Figure(figsize=(_WIDTH, 3.4))
    axes = drawn.subplots()
    costs = {(row.recipe, row.variant): row.gmacs for row in results.rows}
    for recipe, also, color, line in ((BASE, " alone", GREY, "--"), (OURS, "", ORANGE, "-")):
        top1, label = results.top1(recipe), results.recipes[recipe] + also
        x, y = [costs[recipe, size] for size in top1], list(top1.values())
        axes.plot(x, y, marker="o", markersize=5, color=color, linestyle=line, label=label)
    for size, cost, accuracy in zip(top1, x, y, strict=True):
        axes.annotate(size.upper(), (cost, accuracy), (0, 7), textcoords="offset points", ha="center")
    axes.set_xscale("log")
    ticks = [0.3, 1, 3, 10, 30]
    axes.set_xticks(ticks, [f"{tick:g} G" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_xlabel("multiply-accumulates per image")
    axes.set_ylabel("ImageNet top-1, %")
    axes.legend(loc="lower right")
    caption = f"Top-1 accuracy on {results.test_sets['imagenet'].meaning}. {_credit(results)}"
    return _on_page(
        drawn, Figures(inlined=100), f"Accuracy against cost, with AdvProp: {_spoken(top1)}", caption
    )


@matplotlib.rc_context()
def gain_chart(results: Results) -> str:
    """Points of accuracy that AdvProp adds, by test set and size, all on one scale."""
    gains = {key: results.gain(OURS, BASE, key) for key in GAINS}
    names = {key: results.test_sets[key].name for key in GAINS}
    heights = [high - low for low, high in map(_limits, gains.values())]  # a point is as high everywhere
    notebook_style()
    matplotlib.rcParams["font.size"] = _FONT_SIZE
    drawn = Figure(figsize=(_WIDTH, 0.11 * sum(heights) + 2))
    parts = drawn.subplots(len(gains), 1, sharex=True, height_ratios=heights)
    for axes, (key, row) in zip(parts, gains.items(), strict=True):
        _draw_gains(axes, names[key], row)
    parts[0].set_title("points of top-1", loc="right")
    sets = "; ".join(f"{names[key]} has {results.test_sets[key].meaning}" for key in GAINS[1:])
    caption = (
        "Points of top-1 accuracy above the same network trained with "
        f"{results.recipes[BASE]} alone. {sets}. {results.caveats[0]} {_credit(results)}"
    )
    spoken = "; ".join(f"{names[key]}: {_spoken(row)}" for key, row in gains.items())
    return _on_page(drawn, Figures(inlined=200), f"What AdvProp adds. {spoken}", caption)


@matplotlib.rc_context()
def cost_chart(measured: Mapping[str, Any], figures: Figures) -> str:
    """What a step costs by a record of `scripts.cost_curves`, beside what arithmetic alone would cost."""
    curves = measured["curves"]
    notebook_style()
    matplotlib.rcParams["font.size"] = _FONT_SIZE
    drawn = Figure(figsize=(_WIDTH, 2.2 * len(curves)))
    parts = drawn.subplots(len(curves), 1, squeeze=False)[:, 0]
    for axes, (name, points) in zip(parts, curves.items(), strict=True):
        _draw_costs(axes, name, points)
    lines = {str(line.get_label()): line for axes in parts for line in axes.get_lines()}
    shown = [name for name in (*_METHODS.values(), _FLOOR) if name in lines]
    drawn.legend([lines[name] for name in shown], shown, loc="outside upper left", ncols=2)
    spoken = "; ".join(
        f"{name}: {'; '.join(_costs_spoken(point) for point in points)}" for name, points in curves.items()
    )
    settings = (
        f"{measured['model']}, {measured['batch_size']} images of {measured['image_size']} pixels a side"
    )
    caption = f"What a step costs, standard training = 1: medians of {measured['rounds']} rounds; {settings}."
    return _on_page(drawn, figures, f"What a step costs. {spoken}", caption)


def _draw_costs(axes: Axes, name: str, points: Sequence[Mapping[str, Any]]) -> None:
    at = [point["at"] for point in points]
    for method in points[0]["costs"]:
        by_steps = [f"{method}-{steps}" if method == "advprop" else method for steps in at]
        color = _COLORS.get(method, PURPLE)
        costs = [statistics.median(point["costs"][method]) for point in points]
        axes.plot(at, costs, marker="o", markersize=4, color=color, label=_METHODS[method])
        floors = [arithmetic_floor(each) for each in by_steps]
        axes.plot(at, floors, linestyle=":", color=color, label=_FLOOR)
    axes.set_xticks(at)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(name)
    axes.grid(axis="y", alpha=0.25, linewidth=0.5)


def _costs_spoken(point: Mapping[str, Any]) -> str:
    costs = {_METHODS[method]: statistics.median(each) for method, each in point["costs"].items()}
    return f"at {point['at']} " + ", ".join(f"{name} {cost:.3g}" for name, cost in costs.items())


def _draw_gains(axes: Axes, name: str, row: Mapping[str, float]) -> None:
    colors = [ORANGE if gain > 0 else GREY for gain in row.values()]
    bars = axes.bar([size.upper() for size in row], list(row.values()), width=0.7, color=colors)
    axes.bar_label(bars, [f"{gain:+.1f}".replace("-", "\u2212") for gain in row.values()], padding=2)
    axes.set_title(name, loc="left", fontweight="bold")
    axes.set_ylim(*_limits(row))
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False, labelleft=False, bottom=False)


def _limits(row: Mapping[str, float]) -> tuple[float, float]:
    """The lowest and the highest point of a part, with room for the numbers of its bars."""
    lowest = min(row.values())
    return lowest - 1.6 if lowest < 0 else 0, max(row.values()) + 1.6


def _on_page(drawn: Figure, figures: Figures, spoken: str, caption: str) -> str:
    """A chart with the theme's colors; how many figures are inlined keeps the names in its SVG apart."""
    svg = io.StringIO()
    drawn.savefig(svg, format="svg", metadata={"Date": None}, bbox_inches="tight")
    picture = figures.add_svg(svg.getvalue(), spoken)
    return f'<figure class="drawn">\n{picture}\n<figcaption>{caption}</figcaption>\n</figure>'


def _spoken(values: Mapping[str, float]) -> str:
    return ", ".join(f"{size.upper()} {value:g}" for size, value in values.items())


def _credit(results: Results) -> str:
    return f'Measured by {results.measured_by} (<a href="{results.source}">source</a>, {results.licence}).'
