"""What is done to the HTML of a page's own content, and the same as an extension of Python-Markdown.

A generator without hooks has the extension in its configuration, see `write_tree.py`.
"""

import logging
import re
from importlib import import_module
from typing import Any

from docs.hooks.html import to_mathml
from docs.hooks.rendering import PageError

log = logging.getLogger(__name__)

_SOURCE = '<details class="mkdocstrings-source"'
# At the end of a page for a generator without hooks: its path, and whether the search has only its prose.
_MARK = re.compile(r"<!-- page: (\S+)( prose only)? -->")


def marked(markdown: str, path: str, *, prose_only: bool = False) -> str:
    """A page with what `extension` has to know of it."""
    return f"{markdown}\n<!-- page: {path}{' prose only' * prose_only} -->\n"


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
        """Finish the content of a page, or that of a docstring."""
        mark = _MARK.search(html)
        where, prose_only = (mark[1], bool(mark[2])) if mark else ("a docstring", False)
        try:
            return finished(_MARK.sub("", html), where, prose_only=prose_only)
        except PageError as error:
            log.error(str(error))  # Zensical cuts the messages of errors
            raise


def extension() -> Any:
    """The same as an extension of Python-Markdown."""
    made = import_module("markdown.extensions").Extension()  # has no types
    after_all = -100
    made.extendMarkdown = lambda md: md.postprocessors.register(_Finish(), "content", after_all)
    return made
