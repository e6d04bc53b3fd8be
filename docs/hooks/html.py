"""What is done to the HTML of a page: formulas as MathML, and code with fewer tags."""

import html
import re

from latex2mathml.converter import convert

# What pymdownx.arithmatex writes in its generic form.
_FORMULA = re.compile(r'<(span|div) class="arithmatex">(\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.DOTALL)
# Pygments' classes of names, punctuation, operators and white space: of the colour of all code.
_PLAIN = re.compile(r'<span class="(?:n|o|p|w)">([^<]*)</span>')
# White space that a browser shows as one space, and before it what has to stay as it is.
_SPACE = re.compile(r"(<(pre|svg|script|style|textarea)\b.*?</\2>)|[ \t]*\n\s*|[ \t]{2,}", re.DOTALL)


def to_mathml(page: str) -> str:
    r"""The HTML of a page with its formulas, `\(...\)` and `\[...\]`, as MathML: no script is needed."""
    return _FORMULA.sub(_replace, page)


def lighten(page: str) -> str:
    """The HTML of a page without what nobody sees: tags around code that have no colour, white space."""
    return _SPACE.sub(lambda match: match[1] or " ", _PLAIN.sub(r"\1", page))


def _replace(match: re.Match[str]) -> str:
    element, opening, latex = match.groups()
    display = "block" if opening == r"\[" else "inline"
    math = str(convert(html.unescape(latex).strip(), display=display))
    return f'<{element} class="formula">{math}</{element}>'
