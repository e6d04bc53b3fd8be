"""Formulas as MathML, made when the site is built: a reader's browser needs no script for them."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

# What pymdownx.arithmatex writes in its generic form.
_FORMULA = re.compile(r'<(span|div) class="arithmatex">(\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.DOTALL)


def to_mathml(page: str) -> str:
    r"""The HTML of a page with its formulas, `\(...\)` and `\[...\]`, as MathML."""
    return _FORMULA.sub(_replace, page)


def _replace(match: re.Match[str]) -> str:
    element, opening, latex = match.groups()
    display = "block" if opening == r"\[" else "inline"
    latex = html.unescape(latex).strip()
    math = str(convert(latex, display=display))
    return f'<{element} class="formula" title="{html.escape(latex)}">{math}</{element}>'
