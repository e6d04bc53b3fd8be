"""Just enough SVG: elements as strings, colours as the theme's CSS classes.

Nothing has a colour of its own: text and lines are `currentColor`, everything else has a class that
`docs/assets/site.css` colours for the light and the dark theme.
"""

from collections.abc import Iterable
from html import escape


def number(value: float) -> str:
    """A coordinate in as few characters as one tenth of a pixel needs."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, *content: str, **attributes: object) -> str:
    """An element; `class_` stands for `class`, and an underscore in a name for a hyphen."""
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inside = "".join(content)
    return f"<{name}{''.join(parts)}>{inside}</{name}>" if inside else f"<{name}{''.join(parts)}/>"


def _value(value: object) -> str:
    return number(value) if isinstance(value, int | float) else escape(str(value))


def text(x: float, y: float, words: str, *, anchor: str = "middle", class_: str | None = None) -> str:
    """One line of text whose baseline is at `y`."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, *inside: str, rx: float = 4) -> str:
    """A box; `inside` may hold a tooltip."""
    return element("rect", *inside, x=x, y=y, width=width, height=height, rx=rx or None, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *, close: bool = False) -> str:
    """A line through points."""
    drawn = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return element("path", d=f"M{drawn}{'Z' if close else ''}", class_=class_)


def tip(words: str) -> str:
    """What a pointer that rests on the element is told."""
    return element("title", escape(words))


def drawing(width: float, height: float, *content: str, name: str, title: str, description: str) -> str:
    """A picture with a title and a description for those who cannot see it.

    Args:
        width: Width of the drawing's own coordinates; on the page it takes the room that there is.
        height: Height, likewise.
        *content: Elements.
        name: Unique on the page.
        title: What it is.
        description: What it shows.
    """
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(description), id=f"{name}-desc"),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        class_="drawing",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def figure(picture: str, caption: str = "") -> str:
    """A picture on a page, with its caption below; raw HTML for Markdown."""
    below = f"\n<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="drawn">\n{picture}{below}\n</figure>'
