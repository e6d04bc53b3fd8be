"""Outputs of notebook cells made fit for a page: text, HTML, and SVG that follows the theme."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_REWRITTEN = re.compile(r"[^\n]*\r(?!\n)")
_UNSAFE = re.compile(r"<(script|style)\b.*?</\1>|\son\w+=(\"[^\"]*\"|'[^']*')", re.DOTALL | re.IGNORECASE)
_PROLOG = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]+)"')
_DATA_IMAGE = re.compile(r'((?:xlink:)?href)="data:image/png;base64,([^"]+)"')
_BLACK = re.compile(r"(?<![\w#-])(#000000|#000|black)(?![\w-])", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"(\d+\.\d{2})\d+")


class Figures:
    """Pictures that lie beside a page, so that the page itself stays light.

    Args:
        prefix: Makes the ids inside inlined SVGs unique on the page.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = re.sub(r"\W+", "-", prefix)
        self.files: dict[str, bytes] = {}
        self.inlined = 0

    def add_png(self, encoded: str) -> str:
        """Keep a base64 picture; return its name."""
        content = base64.b64decode(encoded)
        name = f"{hashlib.sha256(content).hexdigest()[:12]}.png"
        self.files[name] = content
        return name


def as_text(text: str) -> str:
    """Terminal output as it looks in the end: no colours, only the last state of a progress bar."""
    return _REWRITTEN.sub("", _ANSI.sub("", text.replace("\r\n", "\n")))


def safe_html(markup: str) -> str:
    """HTML output without scripts and styles of its own, and without the empty lines that end raw HTML."""
    return re.sub(r"\n\s*\n+", "\n", _UNSAFE.sub("", markup)).strip()


def inline_svg(markup: str, figures: Figures, alt: str) -> str:
    """An SVG to stand in a page: ids of its own, black as the text's colour, bitmaps as files beside it.

    Args:
        markup: What matplotlib wrote.
        figures: Takes the bitmaps.
        alt: What the picture shows, in words.
    """
    svg = _PROLOG.sub("", markup).strip()
    svg = _DATA_IMAGE.sub(lambda found: f'{found[1]}="{figures.add_png(found[2])}"', svg)
    figures.inlined += 1
    prefix = f"{figures.prefix}-{figures.inlined}"
    for name in set(_ID.findall(svg)):
        svg = re.sub(rf'(id="|href="#|url\(#){re.escape(name)}(?=["\)])', rf"\g<1>{prefix}-{name}", svg)
    svg = _BLACK.sub("currentColor", svg)
    svg = _LONG_NUMBER.sub(r"\1", svg)
    svg = re.sub(r"\n\s*\n+", "\n", svg)
    head = re.match(r"<svg\b[^>]*>", svg)
    if head is None:
        raise ValueError(f"not an SVG: {markup[:60]!r}")
    return _head(head[0], alt) + svg[head.end() :]


def _head(head: str, alt: str) -> str:
    """The opening tag with a width that shrinks on a phone, and a name for screen readers."""
    width = re.search(r'\bwidth="([\d.]+)(pt|px)?"', head)
    head = re.sub(r'\s(width|height|version)="[^"]*"', "", head)
    pixels = float(width[1]) * (4 / 3 if width[2] == "pt" else 1) if width else 0
    style = f' style="width: {pixels:.0f}px"' if pixels else ""
    return f'{head[:-1].rstrip()} role="img" aria-label="{escape(alt)}"{style}>'
