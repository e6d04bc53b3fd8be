"""Markdown cells of a notebook as parts of one page: what a cell defines is its own, pictures come along."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from docs.hooks.outputs import Figures

# A block between fences, of which the last is as long as the first or longer, or code in a line.
_CODE = re.compile(
    r"^[ ]{0,3}(?P<fence>(?P<mark>[`~])(?P=mark){2,})(?s:.*?)"
    r"(?:\n[ ]{0,3}(?P<end>(?P=fence)(?P=mark)*)[ \t]*$|\Z)"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)",
    re.MULTILINE,
)
_DEFINITION = re.compile(r"^[ ]{0,3}\[(?P<label>[^\]\n]+)\]:", re.MULTILINE)
_PICTURE = re.compile(r"(!\[[^\]]*\]\(\s*<?|<img\b[^>]*?\bsrc=[\"'])(?P<place>[^)\s\"'>]+)")
_HEADING = re.compile(
    r"^[ ]{0,3}#{1,6}[ \t]+(?P<atx>.+?)[ \t]*#*[ \t]*$|^(?P<setext>\S.*)\n[ ]{0,3}(?:=+|-+)[ \t]*$"
    r"|^[ ]{0,3}<h[1-6]\b[^>]*>(?P<html>.+?)</h[1-6]>",
    re.MULTILINE,
)


def headings(source: str) -> list[str]:
    """The headings of a cell, of every kind, in their order."""
    text = "".join(part for part, is_code in split_code(source) if not is_code)
    return [next(filter(None, found.groups())).strip() for found in _HEADING.finditer(text)]


def title_and_summary(source: str) -> tuple[str, str]:
    """The first heading of a cell and the paragraph below it."""
    found = _HEADING.search(source)
    below = source[found.end() :] if found else source
    return headings(source)[0] if found else "", below.strip().partition("\n\n")[0]


def after_title(markdown: str) -> int:
    """Where the text of a page begins: after the heading that it begins with, if it does."""
    found = _HEADING.match(markdown)
    return found.end() if found else 0


def markdown_cells(cells: list[NotebookNode], figures: Figures, beside: Path, page: str) -> dict[int, str]:
    """The Markdown cells of a notebook by their place, fit to stand on one page.

    Pictures are named from the folder `beside`, and `figures` takes them for its folder `page`.

    Raises:
        ValueError: If a picture is not there; the message names it and the cell.
    """
    sources = {place: cell.source for place, cell in enumerate(cells) if cell.cell_type == "markdown"}
    times = Counter(label for source in sources.values() for label in _labels(source))
    shown = {}
    for place, source in sources.items():
        shared = {label for label in _labels(source) if times[label] > 1}
        attached = cells[place].get("attachments", {})
        try:
            shown[place] = "".join(
                part if is_code else _pictured(_own(part, shared, place + 1), attached, figures, beside, page)
                for part, is_code in split_code(source)
            )
        except OSError as error:
            told = f"cell {place + 1} shows a picture that is not there: {error.filename or error}"
            raise ValueError(told) from error
    return shown


def split_code(source: str) -> Iterator[tuple[str, bool]]:
    """The parts of a cell in their order, each with whether it is code; a fence that is open ends with it."""
    at = 0
    for code in _CODE.finditer(source):
        yield source[at : code.start()], False
        yield code[0], True
        at = code.end()
        if code["fence"] and not code["end"]:
            yield f"{'' if source.endswith(chr(10)) else chr(10)}{code['fence']}", True
    yield source[at:], False


def _labels(source: str) -> set[str]:
    text = "".join(part for part, is_code in split_code(source) if not is_code)
    return {found["label"].lower() for found in _DEFINITION.finditer(text)}


def _own(text: str, labels: set[str], number: int) -> str:
    """Labels of links and footnotes that other cells define, too, with the number of the cell."""

    def named(found: re.Match[str]) -> str:
        label, before, after = found["label"], found["before"] or "", found["after"] or ""
        if label.lower() not in labels:
            return found[0]
        if before or after == ":" or label.startswith("^"):
            return f"{before}[{label}-{number}]{after}"
        return f"[{label}][{label}-{number}]"  # its words are its label

    return re.sub(r"(?P<before>\])?\[(?P<label>[^\[\]\n]+)\](?:(?P<after>:|\[\])|(?![\[(]))", named, text)


def _pictured(text: str, attached: NotebookNode, figures: Figures, beside: Path, page: str) -> str:
    """Pictures that are attached to a cell or lie beside the notebook become files beside the page."""

    def placed(found: re.Match[str]) -> str:
        place = found["place"]
        if place.startswith("attachment:"):
            name = place.removeprefix("attachment:")
            if name not in attached:
                raise FileNotFoundError(place)
            kind, encoded = next(iter(attached[name].items()))
            name = figures.add("".join(encoded), kind.rpartition("/")[2].partition("+")[0])[-1]
        elif re.match(r"[a-z]+:|//|#", place):
            return found[0]
        else:
            name = Path(place).name
            figures.files[name] = (beside / place).read_bytes()
        # MkDocs takes a link of Markdown from the notebook's place, a browser one of HTML from the page's.
        return found[1] + (name if found[1].startswith("<") else page + name)

    return _PICTURE.sub(placed, text)
