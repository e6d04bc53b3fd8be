"""Images side by side in rows, with what a reader wants to know of each below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advprop.figures.plot import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

_WIDTH = 7.0  # inches
_LINE = 0.17  # inches
_GAP = 0.05  # widths of an image
_FINE = 64  # images of fewer pixels are enlarged, so that a page shows them sharp


def plot_images(
    rows: Mapping[str, Tensor],
    captions: Mapping[str, Sequence[str]] | None = None,
    out: Path | str | None = None,
) -> Figure:
    """Draws images in rows, each row under its name and each image above its caption.

    Args:
        rows: Images `[N, C, H, W]` of 1 or 3 channels by the name of their row, pixels in [0, 1]; others are
            clipped. All have the same H and W.
        captions: What stands below the images of a row, by its name; lines are separated by a line break.
        out: File to write: `.svg`, `.png` or `.pdf`; by default none.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        ValueError: If images differ in size or have another number of channels, a row has another number of
            captions than images, or the file has another ending.
        OSError: If the file cannot be written.

    Examples:
        >>> from advprop.data import digits
        >>> from advprop.figures import plot_images
        >>> images = digits().test.images[:5]
        >>> figure = plot_images({"as they are": images, "brighter": images + 0.3})
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['as they are', 'brighter']
    """
    with drawing((_WIDTH, _WIDTH), out, dpi=130) as figure:
        _check(rows, captions or {})
        figure.set_layout_engine("none")
        sheet = _draw(figure.add_axes((0, 0, 1, 1)), rows, captions or {})
        figure.set_size_inches(_WIDTH, _WIDTH * sheet.shape[0] / sheet.shape[1])
    return figure


def _check(rows: Mapping[str, Tensor], captions: Mapping[str, Sequence[str]]) -> None:
    shapes = {tuple(images.shape[-2:]) for images in rows.values()}
    if len(shapes) != 1:
        raise ValueError(
            f"all images must have one size, got {', '.join(map(str, sorted(shapes))) or 'none'}"
        )
    for name, images in rows.items():
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"images need 1 or 3 channels, got {list(images.shape)} for {name!r}")
    for name, texts in captions.items():
        if name not in rows or len(texts) != len(rows[name]):
            count = len(rows[name]) if name in rows else "no"
            raise ValueError(f"each image needs a caption, got {len(texts)} for {count} images of {name!r}")


def _draw(ax: Axes, rows: Mapping[str, Tensor], captions: Mapping[str, Sequence[str]]) -> np.ndarray:
    """One bitmap of all images, transparent between them, and the texts at their places on it."""
    pixels = {name: _enlarged(images) for name, images in rows.items()}
    height, width = next(iter(pixels.values())).shape[1:3]
    step = width + max(1, round(_GAP * width))
    across = step * max(map(len, pixels.values())) - step + width
    line = round(_LINE * across / _WIDTH)
    strips = []
    top = 0
    for name, images in pixels.items():
        texts = captions.get(name, ())
        below = line * max((1 + text.count("\n") for text in texts), default=0) + line // 2
        strip = np.zeros((line + height + below, across, 4), np.uint8)
        ax.text(0, top + line / 2, name, va="center", fontsize=8.5)
        for number, image in enumerate(images):
            strip[line : line + height, number * step : number * step + width] = image
        for number, text in enumerate(texts):
            place = number * step + width / 2
            ax.text(place, top + line + height + line / 5, text, ha="center", va="top", fontsize=8)
        strips.append(strip)
        top += len(strip)
    sheet = np.concatenate(strips)
    ax.imshow(sheet, interpolation="none", extent=(0, across, len(sheet), 0), aspect="auto")
    ax.set_axis_off()
    return sheet


def _enlarged(images: Tensor) -> np.ndarray:
    """Opaque colors `[N, H, W, 4]`, in bytes."""
    levels = (255 * images.detach().float().cpu().clamp(0, 1)).round().byte()
    times = max(1, _FINE // levels.shape[-1])
    colors = levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy().repeat(times, 1).repeat(times, 2)
    return np.concatenate([colors, np.full_like(colors[..., :1], 255)], axis=-1)
