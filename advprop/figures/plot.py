"""Runs as a picture: losses, test accuracy and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advprop.figures.style import COLOURS, notebook_style
from advprop.runs import Run
from advprop.runtime import need_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By the ending of a file, what keeps the date out of it.
_DATES: Mapping[str, dict[str, None]] = {".svg": {"Date": None}, ".png": {}, ".pdf": {"CreationDate": None}}
_MARKERS = "os^DvPX"
# The losses of training, by what they are of: the main branch, the auxiliary ones.
_LINES: Mapping[str, tuple[str, Any]] = {
    "loss_clean": ("clean", "-"),
    "loss_adv": ("adversarial", (0, (4, 1.5))),
    "loss_noise": ("noise", (0, (1, 1))),
    "loss_aug": ("augmented", (0, (6, 1.5, 1, 1.5))),
}


def plot_runs(runs: Sequence[Path | str], out: Path | str | None = None) -> Figure:
    """Draws runs: their losses, their accuracy on the test images, their learning rate.

    A run has a color and a marker, a loss the kind of its line. Runs that are under way can be drawn, too.

    Args:
        runs: Directories of the runs.
        out: File to write: `.svg`, `.png` or `.pdf`; by default none.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        ValueError: If there is no run, a directory is not one of a run, a run has no records yet, or the
            file has another ending.

    Examples:
        >>> import tempfile
        >>> from advprop import make_recipe, plot_runs, train
        >>> directory = tempfile.mkdtemp() + "/run"
        >>> _ = train(make_recipe(data="digits", epochs=2), directory)
        >>> figure = plot_runs([directory], directory + "/plot.svg")
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['training loss', 'test accuracy in %', 'learning rate']
    """
    if not runs:
        raise ValueError("there is no run to draw; name the directory of one")
    with drawing((9.5, 3.2), out) as figure:
        found = _records(runs)
        losses, accuracy, rate = figure.subplots(1, 3)
        for number, (name, lines) in enumerate(found.items()):
            look = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.4}
            marker = _MARKERS[number % len(_MARKERS)]
            for loss, (_, style) in _LINES.items():
                if any(loss in line for line in lines):
                    _draw(losses, lines, loss, **look, linestyle=style, gid=loss)
            _draw(accuracy, lines, "test_top1_percent", **look, marker=marker, markersize=4, label=name)
            look["linewidth"] = 1.4 * (len(found) - number)  # schedules that are the same show side by side
            _draw(rate, lines, "lr", **look)
        _finish(figure)
    return figure


@contextmanager
def drawing(size: tuple[float, float], out: Path | str | None, dpi: int = 200) -> Iterator[Figure]:
    """A figure of a size in inches, in the style of the tutorials; written at the end, if a file is named.

    It is written on white, and the same figure gives the same bytes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        ValueError: If the file has another ending than those that can be drawn to.
    """
    need_extra("plot")
    import matplotlib
    from matplotlib.figure import Figure

    if out is not None and Path(out).suffix not in _DATES:
        raise ValueError(f"a plot's file must end in {', '.join(_DATES)}, got {out}")
    with matplotlib.rc_context():
        notebook_style()
        figure = Figure(figsize=size)
        yield figure
        if out is not None:
            figure.savefig(out, facecolor="white", dpi=dpi, metadata=_DATES[Path(out).suffix])


def _records(runs: Sequence[Path | str]) -> dict[str, list[dict[str, Any]]]:
    """The records of runs by the name of their directory, or by its whole path where names are the same."""
    unique = len({Path(run).resolve().name for run in runs}) == len(runs)
    found = {}
    for path in map(Path, runs):
        run = Run(path)
        run.check()
        lines = found[path.resolve().name if unique else str(path)] = run.metrics()
        if not lines:
            raise ValueError(f"the run in {path} has no records yet")
    return found


def _draw(ax: Axes, lines: Sequence[Mapping[str, Any]], name: str, **look: Any) -> None:
    """Draws a value over the epochs, from the lines that have it."""
    some = [line for line in lines if name in line]
    ax.plot([line["epoch"] for line in some], [line[name] for line in some], **look)


def _finish(figure: Figure) -> None:
    """Labels, and the two legends: which run, which loss."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    losses, accuracy, rate = figure.axes
    titles = {losses: "training loss", accuracy: "test accuracy in %", rate: "learning rate"}
    for ax, title in titles.items():
        ax.set_ylabel(title)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.grid(alpha=0.25, linewidth=0.5)
        ax.set_xlim(left=0)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))
    drawn = {line.get_gid() for line in losses.lines}
    kinds = [
        Line2D([], [], color="black", linestyle=style, label=label)
        for name, (label, style) in _LINES.items()
        if name in drawn
    ]
    losses.legend(handles=kinds, loc="upper right")
    figure.legend(handles=list(accuracy.lines), loc="outside upper center", ncols=min(len(accuracy.lines), 4))
