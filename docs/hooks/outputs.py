"""Outputs of notebook cells made fit for a page: of their forms, the one that Jupyter would show."""

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from math import inf
from typing import Any

from bs4 import BeautifulSoup
from PIL import Image

from docs.hooks.inline_svg import bitmap, inline_svg

_FENCE = re.compile(r"`{3,}")
# Colors, and links: `ESC ] 8 ; ; address ESC \ words ESC ] 8 ; ; ESC \`.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\].*?(?:\x07|\x1b\\)")
_BITMAPS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif"}
_HEAVY = 100_000  # bytes
# For browsers since 2024, and for all others; the slowest settings take seven times as long for 2 %.
_LIGHT: dict[str, dict[str, int]] = {
    "avif": {"quality": 50, "speed": 6},
    "webp": {"quality": 80, "method": 5},
}
_SVG = "http://www.w3.org/2000/svg"
_TEXT = "{.text .output .no-copy}"


@dataclass
class Figures:
    """The figures of a page.

    Attributes:
        files: Bitmaps and large SVGs that lie beside the page, by name, so that the page itself stays light.
        inlined: How many SVGs and HTML outputs stand in the page; their ids are numbered by it.
        largest: How many characters an SVG in the page may have.
        widest: How many pixels wide a heavy bitmap may be.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    inlined: int = 0
    largest: float = inf
    widest: int | None = None

    def add(self, encoded: str, ending: str = "png") -> tuple[str, ...]:
        """Keep a base64 picture; return its file, or those of a heavy one as AVIF and as WebP."""
        content = base64.b64decode(encoded)
        if ending == "png" and len(content) > _HEAVY:
            return tuple(self._keep(_lighter(content, kind, self.widest), kind) for kind in _LIGHT)
        return (self._keep(content, ending),)

    def _keep(self, content: bytes, ending: str) -> str:
        name = f"{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
        self.files[name] = content
        return name

    def add_svg(self, markup: str, alt: str) -> str:
        """An SVG as HTML: one that stands in the page, or, if it is large, one that lies beside it."""
        inlined = inline_svg(markup, self.next_name(), alt, self.add)
        # a picture in a picture would not be loaded
        if len(inlined) <= self.largest or "<img" in inlined:
            return inlined
        alone = inlined.replace("<svg ", f'<svg xmlns="{_SVG}" font-family="sans-serif" ', 1)
        widths = re.findall(r' style="(width: \d+px)"', inlined)[:1]
        shapes = re.findall(r'viewBox="\S+ \S+ (\S+) (\S+)"', inlined)[:1]
        style = "; ".join(widths + [f"aspect-ratio: {width} / {height}" for width, height in shapes])
        name = self._keep(alone.encode(), "svg")
        return f'<img class="drawn" src="{name}" alt="{escape(alt)}" style="{style}" loading="lazy">'

    def next_name(self) -> str:
        """An id that no other figure of the page has."""
        self.inlined += 1
        return f"f{self.inlined}"


@lru_cache(maxsize=64)  # a page is made anew each time that its words change
def _lighter(content: bytes, kind: str, widest: int | None) -> bytes:
    """A picture in a tenth of its bytes or less, nearly as it was but for its width."""
    lighter = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.thumbnail((widest or picture.width, picture.height))
        picture.save(lighter, kind, **_LIGHT[kind])
    return lighter.getvalue()


def _size(encoded: str) -> str:
    """The size of a picture in pixels as attributes, so that nothing moves when it has been loaded."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return f' width="{picture.width}" height="{picture.height}"'


def show(output: Any, figures: Figures, alt: str) -> str:
    """An output as Markdown: of the forms that it has, the one that Jupyter would show.

    `figures` takes what lies beside the page, and `alt` says what a picture shows.
    """
    if output.output_type == "error":
        return fenced(as_text("\n".join(output.traceback)), _TEXT)
    if output.output_type == "stream":
        return fenced(as_text(output.text), _TEXT)
    data = output.data
    if "text/html" in data:
        html, name = safe_html(data["text/html"], figures.next_name())
        return f'<div class="output"{name}>\n{html}\n</div>'
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/latex" in data:  # text with formulas, as in a Markdown cell
        return str(data["text/latex"]).strip()
    if "image/svg+xml" in data:
        return _figure(figures.add_svg(data["image/svg+xml"], alt))
    for kind, ending in _BITMAPS.items():
        if kind in data:
            return _figure(bitmap(figures.add(data[kind], ending), alt, _size(data[kind])))
    return fenced(as_text(data.get("text/plain", "")), _TEXT)


def fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any that is in it."""
    longest = max((len(found) for found in _FENCE.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def folded(kind: str, title: str, parts: Sequence[str], *, unfolded: bool = False) -> str:
    """Markdown in a box that folds and looks as an admonition of some kind; its title is text."""
    head = f'<details class="{kind}"{" open" * unfolded} markdown="1"><summary>{escape(title)}</summary>'
    return "\n\n".join((head, *parts, "</details>"))


def as_text(text: str) -> str:
    """Terminal output as it looks in the end: no colors; a carriage return lets a line be overwritten."""
    plain = _TERMINAL.sub("", text.replace("\r\n", "\n"))
    return "\n".join(_overwritten(line) for line in plain.split("\n"))


def _overwritten(line: str) -> str:
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown


def safe_html(markup: str, name: str) -> tuple[str, str]:
    """HTML without scripts, whose styles act on it alone; and the id that the element around needs for it."""
    soup = BeautifulSoup(markup, "html.parser")
    for script in soup.find_all("script"):
        script.decompose()
    for element in soup.find_all(True):
        for event in [event for event in element.attrs if event.startswith("on")]:
            del element[event]
    styles = soup.find_all("style")
    for style in styles:
        rules = re.sub(r"\n\s*\n", "\n", style.get_text())
        style.string = f"@scope (#{name}) {{{rules}}}"
    # An empty line would end raw HTML in Markdown.
    html = re.sub(r"\n(?=[ \t]*\n)", "&#10;", str(soup).strip())
    return html, f' id="{name}"' if styles else ""


def _figure(picture: str) -> str:
    return f'<figure class="output">\n{picture}\n</figure>'
