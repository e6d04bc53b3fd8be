"""Image files: which files are images, and their pixels in gray or color."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image
from timm.data.readers.img_extensions import get_img_extensions, set_img_extensions

# What Pillow reads and people keep photographs in. timm looks for the first three alone.
ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
)
READ_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow and `read_image` raise for a file that is not a valid image."""

_MODES = {1: "L", 3: "RGB"}


@contextmanager
def all_endings() -> Iterator[None]:
    """Lets timm's readers find images of every ending, while it lasts."""
    before = get_img_extensions()
    set_img_extensions(ENDINGS)
    try:
        yield
    finally:
        set_img_extensions(before)


def read_image(image: Image.Image | Path | str | IO[bytes], channels: int) -> Image.Image:
    """An image in gray (1 channel) or color (3), with 8 bits per channel.

    Args:
        image: A PIL image, or a file of one.
        channels: 1 or 3.

    Raises:
        ValueError: If the range of its pixels is not known.
        OSError: If the file cannot be read.
    """
    if not isinstance(image, Image.Image):
        with Image.open(image) as opened:
            return read_image(opened, channels)
    if image.mode.startswith("I;16"):  # Pillow would cut off all above 255
        image = Image.fromarray((np.asarray(image, dtype=np.uint16) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, and what is white is not known; save it with 8 or 16")
    return image.convert(_MODES[channels])


def name_of(source: Any, number: int) -> str:
    """The file of an image of a timm or torchvision set, or its number where it has none."""
    if hasattr(source, "filename"):
        name = source.filename(number, absolute=True)
        return str(Path(name)) if name else f"image {number}"
    samples = getattr(source, "samples", None)
    return str(samples[number][0]) if samples else f"image {number}"
