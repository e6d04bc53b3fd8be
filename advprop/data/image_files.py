"""Image files: which files are images, and their pixels in gray or color."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from advprop.runtime import brief

HEIC = (".heic", ".heif", ".hif")
HEIC_EXTRA = 'pip install "advprop[heic]"'
# What Pillow reads and people keep photographs in. timm looks for PNG and JPEG alone.
ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tga", ".icb", ".vda", ".vst", ".ico", ".sgi", ".rgb", ".rgba", ".bw", ".pcx", ".qoi"),
    *(HEIC if find_spec("pillow_heif") else ()),
)
_MODES = {1: "L", 3: "RGB"}


class ImageReadError(OSError):
    """An image file cannot be read; the message says why."""


@contextmanager
def reading() -> Iterator[None]:
    """Makes of whatever a file or its decoder raises the one error of an image that cannot be read.

    Raises:
        ImageReadError: In the place of any exception.
    """
    try:
        yield
    except Exception as error:  # decoders raise RuntimeError, struct.error, IndexError and others
        raise ImageReadError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        heic = "" if HEIC[0] in ENDINGS else f"; HEIC needs {HEIC_EXTRA}"
        return f"its content is no image of a format that is known{heic}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    expected = isinstance(error, OSError | ValueError | SyntaxError | KeyError) or not str(error)
    return brief(error) if expected else f"{type(error).__name__}: {brief(error)}"


def read_image(
    image: Image.Image | Path | str | IO[bytes], channels: int, exif_orientation: bool = False
) -> Image.Image:
    """An image in gray (1 channel) or color (3), with 8 bits per channel.

    Args:
        image: A PIL image, or a file of one.
        channels: 1 or 3.
        exif_orientation: Whether to turn a photograph as its camera noted (EXIF).

    Raises:
        ValueError: If the range of its pixels is not known.
        OSError: If the file cannot be read; its decoder may raise others.
    """
    if not isinstance(image, Image.Image):
        _register_heic()
        with Image.open(image) as opened:
            return read_image(opened, channels, exif_orientation)
    form = image.format
    if exif_orientation:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and form == "PPM"):  # PPM: 0 to 65535
        levels = np.asarray(image).astype(np.float64) / 257  # Pillow would cut off all above 255
        image = Image.fromarray(levels.round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are {_numbers(image)}, and which of them is white is not known; "
            "save it with 8 or 16 bits without a sign"
        )
    return image.convert(_MODES[channels])


def _numbers(image: Image.Image) -> str:
    """What the pixels of an image are that are not of 8 bits."""
    tags = getattr(image, "tag_v2", {})  # of TIFF: bits, and 2 for numbers with a sign
    if tags.get(258) == (16,) and tags.get(339) == (2,):
        return "16-bit numbers with a sign"
    return "floats" if image.mode == "F" else "32-bit numbers"


@cache
def _register_heic() -> None:
    """Lets Pillow read HEIC, where pillow-heif is installed."""
    if find_spec("pillow_heif"):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def printable(name: str) -> str:
    r"""A file name as a terminal can show it: bytes that are not UTF-8 as escapes.

    Examples:
        >>> import os
        >>> from advprop.data.image_files import printable
        >>> print(printable(os.fsdecode(b"caf\xe9.png")))
        caf\xe9.png
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def class_of(folder: str) -> str:
    """The name of the class that a folder stands for: the same for every spelling of an accent."""
    return unicodedata.normalize("NFC", printable(folder))


def name_of(source: Any, number: int) -> str:
    """The file of an image of a timm or torchvision set, or its number where it has none."""
    if hasattr(source, "filename"):
        name = source.filename(number, absolute=True)
        return printable(str(Path(name))) if name else f"image {number}"
    samples = getattr(source, "samples", None)
    return printable(str(samples[number][0])) if samples else f"image {number}"
