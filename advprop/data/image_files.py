"""Files of pictures: which files are pictures, and their pixels in grey or in colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image
from timm.data.readers.img_extensions import get_img_extensions, set_img_extensions

# What Pillow reads and people keep photographs in. timm looks for the first three alone.
ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
)
_MODES = {1: "L", 3: "RGB"}


@contextmanager
def all_endings() -> Iterator[None]:
    """Lets timm's readers find the pictures of every ending, while it lasts."""
    before = get_img_extensions()
    set_img_extensions(ENDINGS)
    try:
        yield
    finally:
        set_img_extensions(before)


def in_channels(image: Image.Image, channels: int) -> Image.Image:
    """A picture in grey (1 channel) or colour (3), with 8 bits a channel.

    Raises:
        ValueError: If the range of its pixels is not known.
    """
    if image.mode.startswith("I;16"):  # Pillow would cut off all above 255
        image = Image.fromarray((np.asarray(image, dtype=np.uint16) / 257).round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, and what is white is not known; save it with 8 or 16")
    return image.convert(_MODES[channels])
