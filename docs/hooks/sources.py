"""The code behind the reference: on a page beside each page of it, so that both stay light."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from bs4 import BeautifulSoup

from docs.hooks.markdown_cells import title_and_summary

_SOURCE = re.compile(
    r'<details class="mkdocstrings-source"[^>]*>\s*<summary>(?P<title>.*?)</summary>(?P<code>.*?)</details>',
    re.DOTALL,
)
_HEADING = re.compile(r'<h[2-6] id="([^"]+)"')


class Source(NamedTuple):
    """The code of something in the reference: its id there, such as `advprop.PGD`; file and code as HTML."""

    name: str
    file: str
    code: str


def path_beside(page: str) -> str:
    """The path of the page that has the code behind a page of the reference."""
    return f"{page.removesuffix('.md')}/source.md"


def page_of_sources(page: str, markdown: str) -> tuple[str, str]:
    """The path of that page, and its Markdown, to which `listed` is added; the search leaves it out."""
    title, _ = title_and_summary(markdown)
    about = f"The code behind the reference page {title}."
    return path_beside(page), (
        f"---\ndescription: {about}\nsearch:\n  exclude: true\n---\n"
        f"# Source of {title}\n\nEach name leads back to [the reference](../{PurePosixPath(page).name}).\n"
    )


def sources_apart(html: str) -> tuple[str, list[Source]]:
    """The HTML of a page of the reference with a link in the place of each source, and the sources."""
    found: list[Source] = []

    def link(source: re.Match[str]) -> str:
        name = _HEADING.findall(html, 0, source.start())[-1]
        found.append(Source(name, re.sub(".*(?=<code>)", "", source["title"]), source["code"]))
        return f'<p class="source" data-search-exclude><a href="source/#{name}">{source["title"]}</a></p>'

    return _SOURCE.sub(link, html), found


def listed(sources: list[Source]) -> str:
    """The sources as HTML, each below the name that leads back to what the reference says of it."""
    return "\n".join(
        f'<h2 id="{name}"><a href="../#{name}"><code>{name}</code></a></h2>\n<p>{file}</p>\n{code}'
        for name, file, code in sources
    )


def as_markdown(title: str, sources: list[Source]) -> str:
    """The page for programs."""
    parts = [f"# {title}"]
    for source in sources:
        file, page = (BeautifulSoup(html, "html.parser") for html in (source.file, source.code))
        code = page.select("code")[-1].get_text().strip()
        parts += [f"## `{source.name}`", f"`{file.get_text()}`", f"```python\n{code}\n```"]
    return "\n\n".join(parts) + "\n"
