"""The picture of a page that chats and social networks show beside a link to it."""

import io
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.bezier import BezierSegment
from PIL import Image, ImageDraw, ImageFont

FONTS = Path(__file__).resolve().parents[1] / "templates" / "fonts"  # Inter, by its license OFL.txt
SIZE = (1200, 630)  # pixels, as social networks ask for
_GROUND, _WHITE, _GREY, _CLEAN, _ADVERSARIAL = "#16213a", "#ffffff", "#c5cfe2", "#7fb4ff", "#ff9f5f"
_LEFT, _WIDTH = 80, 1040
# The Bezier curves of assets/logo.svg, in its coordinates.
_CURVES = {
    _CLEAN: (((3, 25), (9, 25), (9, 8), (13, 8)), ((13, 8), (17, 8), (17, 25), (23, 25))),
    _ADVERSARIAL: (((8, 25), (14, 25), (14, 14), (19, 14)), ((19, 14), (24, 14), (24, 25), (29, 25))),
}


def social_card(title: str, about: str, kind: str) -> bytes:
    """Draw the card of a page as PNG; `kind` stands above its title, such as "Tutorial"."""
    card = Image.new("RGB", SIZE, _GROUND)
    draw = ImageDraw.Draw(card)
    card.paste(_logo(), (_LEFT - 5, 56))
    draw.text((_LEFT + 108, 78), "AdvProp", _WHITE, _font(700, 44))
    if kind:
        draw.text((_LEFT + _WIDTH, 84), kind, _CLEAN, _font(400, 36), anchor="ra")
    large = _title_font(title)
    place = 210
    for line in _lines(title, large, 2):
        draw.text((_LEFT, place), line, _WHITE, large)
        place += 84
    for line in _lines(about, _font(400, 36), 4):
        draw.text((_LEFT, place + 24), line, _GREY, _font(400, 36))
        place += 50
    draw.rectangle((0, 610, 600, 630), _CLEAN)
    draw.rectangle((600, 610, 1200, 630), _ADVERSARIAL)
    file = io.BytesIO()
    card.quantize(64).save(file, "png", optimize=True)
    return file.getvalue()


@cache
def _font(weight: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"inter-latin-{weight}-normal.woff", size)


def _title_font(title: str) -> ImageFont.FreeTypeFont:
    """The largest in which the title has two lines at most, and its longest word fits into one."""
    fonts = [_font(700, size) for size in (72, 56, 44, 32)]

    def fits(font: ImageFont.FreeTypeFont) -> bool:
        return len(_lines(title, font, 3)) < 3 and max(map(font.getlength, title.split())) <= _WIDTH

    return next(filter(fits, fonts), fonts[-1])


def _lines(text: str, font: ImageFont.FreeTypeFont, most: int) -> list[str]:
    """The text in lines that fit; an ellipsis ends what is left out."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= _WIDTH or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines[most - 1] = lines[most - 1].rpartition(" ")[0].rstrip(".,;:") + " \u2026"
    return lines[:most]


@cache
def _logo() -> Image.Image:
    """The curves of the logo, drawn large and made small, so that their edges are smooth."""
    scale = 24
    large = Image.new("RGB", (32 * scale, 32 * scale), _GROUND)
    draw = ImageDraw.Draw(large)
    for color, curves in _CURVES.items():
        for curve in curves:
            for x, y in BezierSegment(scale * np.array(curve))(np.linspace(0, 1, 201)):
                draw.circle((x, y), 1.3 * scale, color)
    return large.resize((96, 96), Image.Resampling.LANCZOS)
