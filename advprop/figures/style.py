"""How figures look, in the tutorials and from the command line: small SVGs for light and for dark pages."""

import sys
from typing import Any

from advprop.runtime import need_extra

__all__ = ["BLUE", "COLOURS", "GREEN", "GREY", "ORANGE", "PURPLE", "notebook_style"]

BLUE = "#1a66ec"
ORANGE = "#dd7813"
GREY = "#767676"
GREEN = "#1ba75e"
PURPLE = "#bc46b4"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY)
"""The colors of lines and bars, in the order in which matplotlib takes them."""

_STYLE: dict[Any, Any] = {
    "figure.figsize": (7.0, 3.0),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "font.size": 9.0,
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "advprop",
}
_SAVED: dict[str, Any] = {"metadata": {"Date": None}, "bbox_inches": "tight"}


def notebook_style() -> None:
    """Makes matplotlib draw as the tutorials do, for the rest of the program.

    Figures are transparent; lines, ticks and text are black, which a page can recolor. In a notebook they
    are SVGs, text stays text, and the same figure gives the same bytes. The colors are in `advprop.figures`:
    `BLUE`, `ORANGE`, `GREEN`, `PURPLE` and `GREY`, which color-blind readers tell apart and which stand out
    on white and on dark pages.

    Raises:
        MissingExtraError: If matplotlib is not installed.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from advprop import notebook_style
        >>> from advprop.figures import BLUE
        >>> with plt.rc_context():
        ...     notebook_style()
        ...     figure, ax = plt.subplots()
        ...     line = ax.plot([1, 2, 3], color=BLUE)
        >>> figure.get_facecolor()
        (0.0, 0.0, 0.0, 0.0)
        >>> plt.close(figure)
    """
    need_extra("plot")
    import matplotlib
    from cycler import cycler

    matplotlib.rcParams.update(_STYLE | {"axes.prop_cycle": cycler(color=COLOURS)})
    ipython: Any = sys.modules.get("IPython")
    if shell := ipython and ipython.get_ipython():
        from matplotlib_inline.config import InlineBackend

        inline = InlineBackend.instance(parent=shell)
        inline.print_figure_kwargs = _SAVED
        inline.figure_formats = {"svg"}
