"""An SVG made fit to stand in a page: its own ids and style, the theme's text color, bitmaps as files."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_BLACK = {"black", "#000", "#000000"}
_LONG_NUMBER = re.compile(r"(-?\d+\.\d)\d+")
# What an element may point at another by: in `href`, in `url()`, in a style, where it may be a color.
_LINK = re.compile(r"^(#)(.+)$")
_URL = re.compile(r"""(url\(["']?#)([^)"']+)""")
_SELECTOR = re.compile(r"(#)([\w.-]+)")
_DATA_IMAGE = "data:image/png;base64,"
_CONTAINERS = ("svg", "g", "defs", "symbol", "marker", "clipPath", "mask", "pattern")  # of no text
_OF_ALL = re.compile(r"\s*\*\s*\{([^{}]*)\}\s*")
_MOVED = re.compile(r"translate\((-?[\d.]+)[ ,]+(-?[\d.]+)\)")
_DRAWN = ("circle", "ellipse", "line", "path", "polygon", "polyline", "rect", "text", "use")
_NOT_INHERITED = re.compile(r"(?<!-)\b(?:clip-path|filter|mask|mix-blend-mode|opacity|transform)\b")
_MANY = 3  # elements of one style share a class


def bitmap(files: Sequence[str], alt: str, size: str = "") -> str:
    """A bitmap that is loaded when it comes into view, as HTML and as XML; `size` are more attributes.

    It is one file, or one for browsers that know AVIF and one for all others.
    """
    image = f'<img src="{files[-1]}" alt="{escape(alt)}"{size} loading="lazy"/>'
    if len(files) == 1:
        return image
    return f'<picture><source srcset="{files[0]}" type="image/avif"/>{image}</picture>'


def inline_svg(markup: str, name: str, alt: str, keep: Callable[[str], Sequence[str]]) -> str:
    """An SVG as HTML.

    Args:
        markup: What drew it wrote.
        name: Its id on the page; its other ids and classes begin with it.
        alt: What the picture shows, in words.
        keep: Takes a bitmap in base64, keeps it beside the page and returns its files for `bitmap`.

    Raises:
        ValueError: If it is no SVG.
    """
    root = _parsed(markup)
    _inherit(root)
    _own_ids(root, name)
    for element in root.iter():
        _place_plainly(element)
        for key, value in element.attrib.items():
            if key == "style":
                element.attrib[key] = _themed(value)
            elif key in ("fill", "stroke", "color") and value.strip().lower() in _BLACK:
                element.attrib[key] = "currentColor"
            elif key in ("d", "x", "y", "width", "height", "points", "viewBox"):
                element.attrib[key] = _short(value)
        if element.get("href", "").startswith(_DATA_IMAGE):
            _place(element, keep(element.attrib["href"].removeprefix(_DATA_IMAGE)))
    _drop_unseen(root, outlined=any("stroke:" in (style.text or "") for style in root.iter("style")))
    _open_groups(root)
    if root.find(".//style") is None:  # else a rule may be for elements of a place
        _share_looks(root)
    _share_styles(root, name)
    width = re.fullmatch(r"([\d.]+)(pt|px)?", root.attrib.pop("width", ""))
    for key in ("height", "version"):
        root.attrib.pop(key, None)
    if width:
        pixels = float(width[1]) * (4 / 3 if width[2] == "pt" else 1)
        root.set("style", f"width: {pixels:.0f}px")
    root.attrib |= {"id": name, "role": "img", "aria-label": alt}
    return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")


def _parsed(markup: str) -> Element:
    """The element, with names as in HTML, without what only programs read; its style acts on it alone."""
    try:
        root = ElementTree.fromstring(markup)
    except ElementTree.ParseError as error:
        raise ValueError(f"not an SVG ({error}): {markup[:60]!r}") from error
    for element in root.iter():
        element[:] = [each for each in element if each.tag.rpartition("}")[2] not in ("metadata", "script")]
        element.tag = element.tag.rpartition("}")[2]
        named = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.attrib = {key: value for key, value in named.items() if key[:2] != "on"}
        if element.tag in _CONTAINERS:
            element.text = None
            for child in element:
                child.tail = None
    if root.tag != "svg":
        raise ValueError(f"not an SVG: {markup[:60]!r}")
    return root


def _inherit(root: Element) -> None:
    """Gives the root what a rule says of all elements, as that of matplotlib does; they inherit it."""
    for parent in list(root.iter()):
        for style in parent.findall("style"):
            if rule := _OF_ALL.fullmatch(style.text or ""):
                root.attrib |= _declared(rule[1])
                parent.remove(style)


def _place_plainly(element: Element) -> None:
    """Gives a text coordinates in the place of a transform that only moves it, or turns it by nothing."""
    moved = _MOVED.fullmatch(element.get("transform", ""))
    if element.tag == "text" and moved and not {"x", "y"} & set(element.attrib):
        del element.attrib["transform"]
        element.attrib |= {"x": moved[1], "y": moved[2]}
    if element.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del element.attrib["transform"]


def _drop_unseen(element: Element, *, outlined: bool) -> None:
    """Paths without fill and outline go, such as the background of a chart; so do empty definitions."""
    outlined = outlined or "stroke" in element.attrib or "stroke:" in element.get("style", "")
    for child in list(element):
        bare = child.get("style") == "fill:none" and not {"class", "id", "stroke"} & set(child.attrib)
        unseen = child.tag == "defs" or (child.tag == "path" and bare and not outlined)
        if unseen and not len(child):
            element.remove(child)
        else:
            _drop_unseen(child, outlined=outlined)


def _place(image: Element, files: Sequence[str]) -> None:
    """Shows a bitmap in an SVG. Browsers load an `image` at once, so it becomes HTML."""
    image.tag = "foreignObject"
    del image.attrib["href"]
    if len(files) > 1:  # a photograph; matplotlib has all images pixelated
        image.attrib.pop("style", None)
    image.append(ElementTree.fromstring(bitmap(files, "")))


def _own_ids(root: Element, name: str) -> None:
    """Gives ids that are pointed at names that are unique on the page, and drops the others."""
    ids = {element.get("id") for element in root.iter()}
    names: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        if found[2] not in ids:
            return found[0]
        return found[1] + names.setdefault(found[2], f"{name}-{len(names)}")

    for element in root.iter():
        for key, value in element.attrib.items():
            if key != "id":
                element.attrib[key] = (_LINK if key == "href" else _URL).sub(renamed, value)
        if element.tag == "style":
            own = _SELECTOR.sub(renamed, element.text or "")
            element.text = f"@scope (#{name}) {{{own}}}"
    for element in root.iter():
        if (own_id := element.get("id")) in names:
            element.set("id", names[own_id])
        else:
            element.attrib.pop("id", None)


def _themed(style: str) -> str:
    """Declarations with black as the text's color, and without a font: the page has one."""
    pairs = _declared(style)
    pairs.pop("font-family", None)
    return ";".join(f"{key}:{'currentColor' if v.lower() in _BLACK else v}" for key, v in pairs.items())


def _declared(style: str) -> dict[str, str]:
    parts = (part.partition(":") for part in style.split(";") if part.strip())
    return {key.strip(): value.strip() for key, _, value in parts}


def _short(coordinates: str) -> str:
    """Tenths of a pixel are enough, and lines need not end."""
    shorter = _LONG_NUMBER.sub(r"\1", " ".join(coordinates.split()))
    return re.sub(r"\.0(?!\d)| ?([A-Za-z]) ?", r"\1", shorter)


def _open_groups(element: Element) -> None:
    """Groups that say nothing of what is in them are opened."""
    for child in element:
        _open_groups(child)
    opened = [child if child.tag == "g" and not child.attrib else [child] for child in element]
    element[:] = [each for several in opened for each in several]


def _share_looks(element: Element) -> None:
    """Neighbors that look alike are put into a group that says how: the bars of a chart, its numbers."""
    children: list[Element] = []
    for look, run in groupby(element, key=_look):
        alike = list(run)
        if look and len(alike) > 1:
            for each in alike:
                each.attrib = {key: value for key, value in each.attrib.items() if key not in look}
            group = Element("g", look)
            group.extend(alike)
            alike = [group]
        children += alike
    element[:] = children
    for child in element:
        if child.tag == "g":
            _share_looks(child)


def _look(element: Element) -> dict[str, str]:
    """What an element could have from a group around it; nothing if that would look otherwise."""
    if element.tag not in _DRAWN or "transform" in element.attrib:
        return {}
    look = {key: value for key, value in element.attrib.items() if key in ("style", "clip-path")}
    return {} if _NOT_INHERITED.search(look.get("style", "")) else look


def _share_styles(root: Element, name: str) -> None:
    """Styles that occur often become classes: a thousand points of a plot then say what they are once."""
    often = Counter(element.get("style", "") for element in root.iter())
    shared = [style for style, times in often.items() if style and times >= _MANY]
    classes = {style: f"{name}-s{place}" for place, style in enumerate(shared)}
    for element in root.iter():
        if (style := element.get("style")) in classes:
            del element.attrib["style"]
            element.set("class", f"{element.get('class', '')} {classes[style]}".strip())
    if classes:
        rules = Element("style")
        rules.text = "".join(f".{each}{{{style}}}" for style, each in classes.items())
        root.insert(0, rules)
