"""Outputs of notebook cells made fit for a page: text, HTML, and light SVG that follows the theme."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_REWRITTEN = re.compile(r"[^\n]*\r(?!\n)")
_UNSAFE = re.compile(r"<(script|style)\b.*?</\1>|\son\w+=(\"[^\"]*\"|'[^']*')", re.DOTALL | re.IGNORECASE)
# What an SVG of matplotlib's has for programs only; its fonts, since the page has one; turns by nothing.
_WASTE = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style\b.*?</style>"
    r"|\sxmlns:xlink=\"[^\"]*\"|\bfont-family:[^;\"]*;?\s*|\stransform=\"rotate\(-?0 [^)]*\)\"",
    re.DOTALL,
)
_ID = re.compile(r'\sid="([^"]+)"')
_REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')
_DATA_IMAGE = re.compile(r'href="data:image/png;base64,([^"]+)"')
_BLACK = re.compile(r"(?<![\w#-])(#000000|#000|black)(?![\w-])", re.IGNORECASE)
_DRAWN = re.compile(r"<(?:path|use|text|rect|circle|polygon)\b[^>]*>")
_COORDINATES = re.compile(r'(?<=\s)(?:d|x|y|points)="[^"]*"')
_LONG_NUMBER = re.compile(r"(\d+\.\d)\d+")
_STYLE = re.compile(r'style="([^"]*)"')
_EMPTY = re.compile(r"<(g|defs)>\s*</\1>|<g/>")
_GROUP = re.compile(r"<g(\s[^>]*)?>|</g>")


@dataclass
class Figures:
    """The figures of a page.

    Attributes:
        files: Bitmaps that lie beside the page, by name, so that the page itself stays light.
        inlined: How many SVGs stand in the page; their ids and classes are numbered by it.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    inlined: int = 0

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
    svg = _WASTE.sub("", markup).strip().replace("xlink:href", "href")
    svg = _DATA_IMAGE.sub(lambda found: f'href="{figures.add_png(found[1])}"', svg)
    figures.inlined += 1
    prefix = f"f{figures.inlined}"
    svg = _own_ids(_BLACK.sub("currentColor", svg), prefix)
    svg = _DRAWN.sub(lambda found: _COORDINATES.sub(_short, found[0]), svg)
    svg = re.sub(r">\s*\n\s*<", "><", svg)
    while _EMPTY.search(svg):
        svg = _EMPTY.sub("", svg)
    svg = _ungrouped(svg)
    head, end, body = svg.partition(">")
    if not head.startswith("<svg"):
        raise ValueError(f"not an SVG: {markup[:60]!r}")
    return _head(head + end, alt) + _shared_styles(body, prefix)


def _short(coordinates: re.Match[str]) -> str:
    """Tenths of a pixel are enough, and lines need not end."""
    shorter = _LONG_NUMBER.sub(r"\1", re.sub(r"\s+", " ", coordinates[0]).replace(' "', '"'))
    return re.sub(r"\.0(?!\d)", "", shorter)


def _own_ids(svg: str, prefix: str) -> str:
    """Ids that are pointed at get short names that are unique on the page; the others go."""
    names = {name: f"{prefix}-{place}" for place, name in enumerate(dict.fromkeys(_REFERENCE.findall(svg)))}
    svg = _ID.sub(lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", svg)
    return _REFERENCE.sub(lambda found: found[0].replace(found[1], names[found[1]]), svg)


def _ungrouped(svg: str) -> str:
    """Groups that say nothing of what is in them are opened."""
    kept: list[bool] = []

    def tag(found: re.Match[str]) -> str:
        if found[0] != "</g>":
            kept.append(bool(found[1]))
            return found[0] if kept[-1] else ""
        return found[0] if kept.pop() else ""

    return _GROUP.sub(tag, svg)


def _shared_styles(body: str, prefix: str) -> str:
    """Styles that occur often become classes: a thousand points of a plot then say what they are once."""
    often = [style for style, times in Counter(_STYLE.findall(body)).items() if times > 2]
    classes = {style: f"{prefix}-{chr(ord('a') + place)}" for place, style in enumerate(often[:26])}
    body = _STYLE.sub(lambda found: f'class="{classes[found[1]]}"' if found[1] in classes else found[0], body)
    rules = "".join(f".{name}{{{style}}}" for style, name in classes.items())
    return (f"<style>{rules}</style>" if rules else "") + body


def _head(head: str, alt: str) -> str:
    """The opening tag with a width that shrinks on a phone, and a name for screen readers."""
    width = re.search(r'\bwidth="([\d.]+)(pt|px)?"', head)
    head = re.sub(r'\s(width|height|version)="[^"]*"', "", head)
    pixels = float(width[1]) * (4 / 3 if width[2] == "pt" else 1) if width else 0
    style = f' style="width: {pixels:.0f}px"' if pixels else ""
    return f'{head[:-1].rstrip()} role="img" aria-label="{escape(alt)}"{style}>'
