"""What a model answers to test images as a picture: which classes it confuses, and images that are wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advprop.figures.plot import drawing
from advprop.figures.style import BLUE, ORANGE
from advprop.runs import Report
from advprop.runtime import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MATRIX = 20  # classes that a matrix can show
_PAIRS = 15
_COLUMNS, _ROWS = 5, 3
_GAP, _CAPTION = 0.12, 0.55  # between images, and for the text below one, in widths of an image


def plot_report(report: Report, out: Path | str | None = None) -> Figure:
    """Draws a report: the classes that are confused, and the images that are wrong, the surest first.

    Up to 20 classes are a matrix; of more, the pairs are drawn that are confused most.

    Args:
        report: The report of a test.
        out: File to write: `.svg`, `.png` or `.pdf`; by default none.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        ValueError: If the file has another ending.
        OSError: If the file cannot be written, or an image cannot be read.

    Examples:
        >>> import tempfile
        >>> from advprop import make_recipe, train
        >>> from advprop.figures import plot_report
        >>> outcome = train(make_recipe(epochs=1, severities=()), tempfile.mkdtemp() + "/run")
        >>> matrix, images = plot_report(outcome.report).axes
        >>> [label.get_text() for label in matrix.get_xticklabels()][:3]
        ['0', '1', '2']
    """
    names = _names(report)
    with drawing((12.0, 5.6), out, dpi=130) as figure:
        figure.set_layout_engine("none")
        low, high = (100 * each for each in report.accuracy.interval)
        figure.suptitle(
            f"{100 * report.accuracy.top1:.1f} % of {report.accuracy.n} test images are right "
            f"(95 % interval: {low:.1f} to {high:.1f})",
            fontsize=13,
        )
        if len(names) <= _MATRIX:
            _draw_matrix(figure.add_axes((0.1, 0.06, 0.36, 0.68)), report, names)
        else:
            _draw_pairs(figure.add_axes((0.24, 0.1, 0.22, 0.76)), report)
        _draw_wrong(figure.add_axes((0.5, 0.02, 0.48, 0.86)), report)
    return figure


def _names(report: Report) -> list[str]:
    """The classes that have images, and others that images are taken for."""
    names = [row.name for row in report.classes]
    others = {answer for row in report.classes for answer, _ in row.answers}
    return names + sorted(others - set(names))


def _draw_matrix(ax: Axes, report: Report, names: list[str]) -> None:
    """A row for each class: what its images are taken for, blue where that is right, orange elsewhere."""
    from matplotlib.colors import to_rgb

    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(report.classes), len(names)), dtype=int)
    for number, row in enumerate(report.classes):
        counts[number, place[row.name]] = row.right
        for answer, count in row.answers:
            counts[number, place[answer]] = count
    shares = counts / counts.sum(1, keepdims=True)
    right = np.arange(len(names)) == np.arange(len(counts))[:, None]
    strength = np.where(right, 0.85 * shares, np.sqrt(shares))[..., None]
    colors = np.where(right[..., None], to_rgb(BLUE), to_rgb(ORANGE))
    ax.imshow(1 - strength * (1 - colors), aspect="auto")
    size = 10 if len(names) <= 10 else 7
    for (y, x), count in np.ndenumerate(counts):
        if count:
            color = "white" if right[y, x] and shares[y, x] > 0.7 else "black"
            ax.text(x, y, str(count), ha="center", va="center", fontsize=size, color=color)
    ax.set_xticks(range(len(names)), [shorten(name) for name in names], rotation=45, ha="left", fontsize=size)
    told = [f"{shorten(row.name)}  {100 * row.share:.0f} %" for row in report.classes]
    ax.set_yticks(range(len(told)), told, fontsize=size)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.hlines(np.arange(1, len(counts)) - 0.5, -0.5, len(names) - 0.5, color="0.88", linewidth=0.6)
    ax.vlines(np.arange(1, len(names)) - 0.5, -0.5, len(counts) - 0.5, color="0.88", linewidth=0.6)
    ax.set_xlabel("rows: the class, and the share of its images that are right; columns: the answer")


def _draw_pairs(ax: Axes, report: Report) -> None:
    """A bar for each of the pairs that are confused most."""
    pairs = report.confused()[:_PAIRS]
    counts = [count for *_, count in pairs]
    ax.barh(range(len(pairs)), counts, color=ORANGE)
    for place, (row, _, count) in enumerate(pairs):
        ax.text(count, place, f" {count} of {row.images}", va="center")
    told = [f"{shorten(row.name)} → {shorten(answer)}" for row, answer, _ in pairs]
    ax.set_yticks(range(len(pairs)), told)
    ax.tick_params(length=0)
    ax.set_xlim(0, 1.25 * max(counts, default=1))
    ax.invert_yaxis()
    ax.xaxis.set_visible(False)
    ax.spines["bottom"].set_visible(False)
    ax.set_title("confused most: class → answer", loc="left")


def _draw_wrong(ax: Axes, report: Report) -> None:
    """Images that are wrong, in rows, with what each is, what it is taken for, and its file."""
    ax.set_axis_off()
    some = report.wrong[: _COLUMNS * _ROWS]
    if not some:
        ax.text(0.5, 0.5, "no test image is wrong", ha="center", va="center", transform=ax.transAxes)
        return
    pixels = report.pixels(some).permute(0, 2, 3, 1).numpy()
    height = pixels.shape[1] / pixels.shape[2]
    for number, (image, wrong) in enumerate(zip(pixels, some, strict=True)):
        row, column = divmod(number, _COLUMNS)
        x, y = column * (1 + _GAP), row * (height + _CAPTION)
        shown: Any = image if image.shape[2] == 3 else image.mean(2)
        ax.imshow(shown, cmap="gray", vmin=0, vmax=1, extent=(x, x + 1, y + height, y))
        told = (wrong.label, f"→ {100 * wrong.confidence:.0f} % {wrong.answer}", Path(wrong.image).name)
        for line, text in enumerate(told):
            place = y + height + 0.13 * (line + 1)
            ax.text(x, place, shorten(text), fontsize=7, color="0.4" if line == 2 else "black")
    ax.set_xlim(0, _COLUMNS * (1 + _GAP))
    ax.set_ylim(math.ceil(len(some) / _COLUMNS) * (height + _CAPTION), -0.16)
    ax.set_title("wrong, the surest first: class → answer", loc="left")
