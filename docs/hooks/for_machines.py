"""What programs read: the pages as Markdown, the list of them in `llms.txt`, the search, other addresses."""

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from bs4 import BeautifulSoup
from markdown import markdown as to_html
from mkdocs_llmstxt import autoclean

_SHOWN = 160  # characters
Page = dict[str, str]
_RELEASE = re.compile(
    r"^## \[(?P<version>[^\]]+)\] - (?P<date>[\d-]+)\n(?P<changes>.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE
)


def sections(nav: list[Any], about: Callable[[str], str]) -> dict[str, list[Page]]:
    """The parts of the navigation, each with its pages and what they are about; single pages come first."""
    parts: dict[str, list[Page]] = {"Overview": []}
    for item in nav:
        for title, below in item.items():
            pages = [{path: about(path)} for path in _paths(below)]
            parts.setdefault("Overview" if isinstance(below, str) else title, []).extend(pages)
    return parts


def _paths(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for below in nav.values() if isinstance(nav, dict) else nav:
            yield from _paths(below)


def in_words(markdown: str) -> str:
    """A paragraph on one line, without links, emphasis and what leads over to code.

    It is empty if it has Jinja, which nobody has rendered.
    """
    if "{%" in markdown or "{{" in markdown:
        return ""
    line = " ".join(re.sub(r"\[([^\]]*)\]\([^)]*\)|\*\*", r"\1", markdown).split())
    return re.sub(r"(^| )[^.:]+:$", "", line)


def briefly(words: str) -> str:
    """The first sentences of some words, as many as search engines show, and one at least."""
    shown, *rest = re.split(r"(?<=[.?!]) ", words)
    for sentence in rest:
        if len(f"{shown} {sentence}") > _SHOWN:
            break
        shown = f"{shown} {sentence}"
    return shown


def preprocess(page: BeautifulSoup, _output: str) -> None:
    """Prepare a page for its conversion: figures and tabs become words; sources and hidden parts go."""
    for figure in page.select("svg[role=img][aria-label], img[alt]"):
        words = figure.get("aria-label") or figure.get("alt")
        if words:
            figure.replace_with(f"[Figure: {words}]")
    for tabs in page.select(".tabbed-set"):
        for label, tab in zip(tabs.select("label"), tabs.select(".tabbed-block"), strict=True):
            name = page.new_tag("p")
            name.string = f"{label.get_text()}:"
            tab.insert(0, name)
    for badge in page.select(".badge + .badge"):
        badge.insert_before("; ")
    for unseen in page.select("details.mkdocstrings-source, [hidden]"):
        unseen.decompose()
    autoclean(page)


def redirect(target: str) -> str:
    """A page that sends its readers on to a relative address."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Moved</title>'
        f'<link rel="canonical" href="{target}"><meta http-equiv="refresh" content="0; url={target}"></head>'
        f'<body><p>This page is at <a href="{target}">{target}</a>.</p></body></html>\n'
    )


def opensearch(name: str, description: str, address: str) -> str:
    """The description by which a browser searches the site at this address from its own bar."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">'
        f"<ShortName>{escape(name)}</ShortName><Description>{escape(description.strip())}</Description>"
        "<InputEncoding>UTF-8</InputEncoding>"
        f'<Url type="text/html" template="{escape(address)}?q={{searchTerms}}"/>'
        "</OpenSearchDescription>\n"
    )


def releases(changelog: str) -> list[re.Match[str]]:
    """The releases of a changelog, newest first: `version`, `date` as `2026-11-28`, and `changes`."""
    return list(_RELEASE.finditer(changelog))


def feed(name: str, of: list[re.Match[str]], home: str) -> str:
    """The releases as an Atom feed; `home` is the address of the site."""
    entries = "".join(
        f"<entry><title>{escape(name)} {each['version']}</title><id>{home}changelog/#{each['version']}</id>"
        f'<updated>{each["date"]}T00:00:00Z</updated><link href="{home}changelog/"/>'
        f'<content type="html">{escape(to_html(each["changes"]))}</content></entry>'
        for each in of
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<feed xmlns="http://www.w3.org/2005/Atom"><title>{escape(name)}</title><id>{home}</id>'
        f"<updated>{of[0]['date']}T00:00:00Z</updated><author><name>{escape(name)}</name></author>"
        f'<link href="{home}"/><link rel="self" href="{home}feed.xml"/>{entries}</feed>\n'
    )
