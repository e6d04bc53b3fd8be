"""What is done to the HTML of a page's own content, and the same as an extension of Python-Markdown.

A generator without hooks has the extension in its configuration, see `write_tree.py`.
"""

import re
from importlib import import_module
from typing import Any

from docs.hooks.html import to_mathml

_SOURCE = '<details class="mkdocstrings-source"'
# At the end of a page of which the search has the prose alone: no cells with what they show, no programs.
PROSE_ONLY = "\n<!-- search: prose only -->\n"


def finished(html: str, where: str, *, prose_only: bool) -> str:
    """Formulas become MathML; the search leaves out sources, and with `prose_only` cells and programs.

    Raises:
        PageError: If a formula is wrong; the message has `where` and the formula.
    """
    shown = to_mathml(html, where)
    if prose_only:
        shown = re.sub(r"<(figure|pre|table)\b", r"<\1 data-search-exclude", shown)
    return shown.replace(_SOURCE, f"{_SOURCE} data-search-exclude")


class _Finish:
    """A postprocessor of Python-Markdown."""

    def run(self, html: str) -> str:
        """Finish the content of a page, which its last line says more of."""
        without = html.replace(PROSE_ONLY.strip(), "")
        return finished(without, "a page", prose_only=without != html)


def extension() -> Any:
    """The same as an extension of Python-Markdown."""
    made = import_module("markdown.extensions").Extension()  # has no types
    made.extendMarkdown = lambda md: md.postprocessors.register(
        _Finish(), "content", -100
    )  # after all others
    return made
