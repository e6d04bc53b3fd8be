"""Figures: what matplotlib draws after `notebook_style`, and whether everybody can tell the colours apart."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from advprop import notebook_style
from advprop.figures.style import BLUE, COLOURS
from advprop.runtime.optional import MissingExtraError

matplotlib.use("agg")

# What the three kinds of colour-blind people see, at full severity, in linear RGB: Machado, Oliveira and
# Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009.
SIGHT = {
    "full": np.eye(3),
    "no red cones": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green cones": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue cones": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.fixture
def style() -> Iterator[None]:
    with plt.rc_context():
        notebook_style()
        yield
    plt.close("all")


def linear(colour: str) -> np.ndarray:
    """Linear RGB of "#rrggbb"."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    dark, light = sorted(XYZ[1] @ linear(colour) for colour in (one, other))
    return float((light + 0.05) / (dark + 0.05))


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB: distances in it are about as large as they look."""
    xyz = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def drawn() -> str:
    """An SVG with a line, a label and a legend."""
    figure, ax = plt.subplots()
    ax.plot([1, 2, 3], label="loss")
    ax.set_xlabel("epoch")
    ax.legend()
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


@pytest.mark.usefixtures("style")
def test_text_is_text_and_nothing_is_behind_it() -> None:
    svg = drawn()
    assert {"loss", "epoch"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert "#ffffff" not in svg
    assert BLUE in svg
    assert len(svg) < 20_000


@pytest.mark.usefixtures("style")
def test_the_same_figure_gives_the_same_bytes() -> None:
    assert drawn() == drawn()


@pytest.mark.usefixtures("style")
def test_lines_take_the_colours_in_turn() -> None:
    _, ax = plt.subplots()
    assert [ax.plot([place])[0].get_color() for place in range(len(COLOURS))] == list(COLOURS)


def test_notebooks_show_svg() -> None:
    cells = (
        "from advprop import notebook_style; notebook_style()",
        "import matplotlib.pyplot as plt; figure, ax = plt.subplots(); line = ax.plot([1, 2])",
    )
    program = (
        "import os\n"
        "os.environ['MPLBACKEND'] = 'module://matplotlib_inline.backend_inline'\n"  # as a kernel does
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from IPython.utils.capture import capture_output\n"
        "shell = InteractiveShell.instance()\n"
        f"for cell in {cells!r}:\n"
        "    with capture_output() as shown:\n"
        "        shell.run_cell(cell).raise_error()\n"
        "(output,) = shown.outputs\n"
        "print(sorted(output.data), 'dc:date' in output.data['image/svg+xml'])\n"
    )
    assert python(program) == "['image/svg+xml', 'text/plain'] False"


def test_importing_the_package_does_not_import_matplotlib() -> None:
    assert python("import sys, advprop; print('matplotlib' in sys.modules)") == "False"


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'^matplotlib must be .*: pip install "advprop\[plot\]"$'):
        notebook_style()


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_stand_out_on_light_and_dark_pages(root: Path, colour: str) -> None:
    css = (root / "docs" / "assets" / "site.css").read_text(encoding="utf-8")
    dark = re.search(r"--md-default-bg-color: (#\w{6});", css)
    assert dark
    assert min(contrast(colour, "#ffffff"), contrast(colour, dark[1])) >= 3


@pytest.mark.parametrize("sight", SIGHT)
def test_everybody_can_tell_the_colours_apart(sight: str) -> None:
    seen = [lab(np.array(SIGHT[sight]) @ linear(colour)) for colour in COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 20


def test_colours_that_look_alike_are_found() -> None:
    red, green = "#b05a2a", "#6f7a1f"
    pairs = {
        name: np.linalg.norm(np.subtract(*(lab(np.array(matrix) @ linear(each)) for each in (red, green))))
        for name, matrix in SIGHT.items()
    }
    assert pairs["full"] > 20 > min(pairs.values())


def python(program: str) -> str:
    """What a program prints in an interpreter of its own."""
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout.strip()
