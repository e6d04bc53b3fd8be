"""What is done to the HTML of a page: formulas as MathML, fewer tags, only the styles and scripts it uses."""

import html
import re

from math_core import LatexError, LatexToMathML

from docs.hooks.rendering import PageError

# What pymdownx.arithmatex writes in its generic form.
_FORMULA = re.compile(r'<(span|div) class="arithmatex\b[^>]*>(\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>', re.DOTALL)
_HEADING = re.compile(r"<(h[1-6])\b.*?</\1>", re.DOTALL)
_LATEX = LatexToMathML(fancy_error=False, id_prefix="formula-")
_ENVIRONMENT = re.compile(r"\\begin\b.*\\end\b", re.DOTALL)
# The place of an equation with a label, and a link to one that is not there.
_LABEL = re.compile(r' id="formula-([^"]*)"')
_NOWHERE = re.compile(r'<a href="#formula-([^"]*)">\(\?\?\)</a>')
# Pygments' classes of the color of all code, such as names, punctuation, operators, space, line numbers.
_PLAIN_CLASSES = "fm|kc|n|normal|o|ow|p|sa|w"
_PLAIN = re.compile(rf'<span class="(?:{_PLAIN_CLASSES})">([^<]*|<(span|a) [^>]*>[^<]*</\2>)</span>')
# One class for each color of the others, where Pygments has several: braces in a string are of its color.
_CLASSES = {
    "c": "c1 ch cm cs sd",
    "k": "kn kr kt nd ni nl nt",
    "m": "il mf mi mo",
    "nb": "bp no",
    "nf": "nc ne nn",
    "s": "s1 s2 sb sc si",
}
_COLOR = {name: color for color, names in _CLASSES.items() for name in names.split()}
_COLORED = re.compile(rf'(?<=<span class=")({"|".join(_COLOR)})(?=">)')
_IN_TWO_PARTS = re.compile(r'(<span class="s">[^<]*)</span><span class="s">')
_DOCSTRING_LINES = re.compile(r'</span>(\n+)<span class="sd">')  # each is a span of its own
_CONTENTS = re.compile(r'(<nav class="md-nav md-nav--secondary"[^>]*>)\s*<label')
_SVG = '<svg xmlns="http://www.w3.org/2000/svg"'  # which HTML knows without the name
_GENERATOR = re.compile(r'<meta name="generator"[^>]*>')
_ONLY_WITH = {  # what a page has, and tags that have nothing to do elsewhere
    'class="doc ': r'<link [^>]*_mkdocstrings\.css"[^>]*>',
    "data-table": r'<script [^>]*assets/table\.js"[^>]*></script>',
    "data-calculator": r'<script [^>]*assets/calculator\.js"[^>]*></script>',
    'class="tabbed-set': r"<script>var (?:tabs|target)=.*?</script>",
}
_MENU_LINK = re.compile(r'(class="md-(?:nav|tabs)__link[^"]*"[^>]*>) ')
_MENU_WORDS = re.compile(r'(<span class="md-ellipsis">) ([^<]*) </span> ')
_NO_HEAD = re.compile(r"<th([^>]*)></th>")
# White space that a browser shows as one space, and before it what has to stay as it is.
_SPACE = re.compile(r"(<(pre|svg|script|style|textarea)\b.*?</\2>)|[ \t]*\n\s*|[ \t]{2,}", re.DOTALL)
# Space beside these is never seen; a style may show a paragraph or a division within a line.
_BLOCKS = "body|d[dlt]|footer|h[1-6]|head(?:er)?|li|link|meta|nav|ol|t[drh]|table|tbody|thead|title|ul"
_BESIDE_BLOCK = re.compile(
    rf'(<(pre|svg|script|style|textarea)\b.*?</\2>)| ?(</?(?:{_BLOCKS})\b(?:[^>"]|"[^"]*")*>) ?', re.DOTALL
)
_TAG = re.compile(r'(<(script|style|textarea)\b.*?</\2>)|<[a-zA-Z](?:[^>"]|"[^"]*")*>', re.DOTALL)
_NEEDLESS_QUOTES = re.compile(r"""="([^\s"'`=<>]+)"(?=[\s>])""")


def to_mathml(page: str, where: str) -> str:
    r"""The HTML of a page with its formulas, `\(...\)` and `\[...\]`, as MathML: no script is needed.

    Raises:
        PageError: If a formula would look other than LaTeX prints it; the message has file and formula.
    """
    formulas = [_latex(match) for match in _FORMULA.finditer(page)]
    headings = "".join(match[0] for match in _HEADING.finditer(page))
    in_headings = [_latex(match) for match in _FORMULA.finditer(headings)]
    for latex, display in formulas:
        mistake = _mistake(latex)
        if (latex, display) in in_headings:
            mistake = "a formula in a heading would stand in the table of contents as it is typed"
        if mistake:
            raise PageError(f"{where}: {' '.join(latex.split())}: {mistake}")
    shown = _LATEX.convert_all(formulas)  # at once: equations are numbered, and refer to each other
    if mistake := _wrong_label("".join(shown)):
        raise PageError(f"{where}: {mistake}")
    rest = iter(shown)
    return _FORMULA.sub(lambda match: f'<{match[1]} class="formula">{next(rest)}</{match[1]}>', page)


def _latex(match: re.Match[str]) -> tuple[str, bool]:
    """A formula as it was typed, and whether it stands on a line of its own."""
    return html.unescape(match[3]).strip(), match[2] == r"\["


def _mistake(latex: str) -> str:
    """What is wrong with a formula, or cannot be shown; empty if nothing is."""
    if re.search(r"(?<!\\)(?:\\\\)*%", latex):
        return r"% begins a comment, so that the rest would not be seen; write \%"
    if re.search(r"\\\\\s*[\[*]", latex):
        return r"[ or * after \\ would be shown"
    if r"\\" in _ENVIRONMENT.sub("", latex):
        return r"\\ ends a line only in an environment, such as aligned"
    try:
        _LATEX.convert_with_local_state(latex, displaystyle=True)
    except LatexError as error:
        return str(error).partition(": ")[2].rstrip(".")
    return ""


def _wrong_label(shown: str) -> str:
    """What is wrong with the labels of a page's formulas; empty if nothing is."""
    labels = _LABEL.findall(shown)
    told = [
        rf"\eqref{{{label}}}: no formula of this page has this label" for label in _NOWHERE.findall(shown)
    ]
    told += [rf"\label{{{label}}}: two have it" for label in labels if labels.count(label) > 1]
    return told[0] if told else ""


def lighten(page: str) -> str:
    """The HTML of a page without what nobody sees: tags around code that have no color, white space.

    A head without words, as in the corner of a table, is no head.
    """
    page = _NO_HEAD.sub(r"<td\1></td>", page).replace(_SVG, "<svg").replace("<pre><span></span>", "<pre>")
    page = _DOCSTRING_LINES.sub(r"\1", _PLAIN.sub(r"\1", page))
    code = _COLORED.sub(lambda match: _COLOR[match[1]], page)
    while _IN_TWO_PARTS.search(code):
        code = _IN_TWO_PARTS.sub(r"\1", code)
    short = _SPACE.sub(lambda match: match[1] or " ", code)
    menus = _MENU_WORDS.sub(r"\1\2</span>", _MENU_LINK.sub(r"\1", short))
    return _BESIDE_BLOCK.sub(lambda match: match[1] or match[3], menus)


def only_needed(page: str) -> str:
    """A whole page without the style of the reference and the scripts that have nothing to do there.

    Its contents stand beside it alone: `docs/assets/theme.js` puts them into the menu of a phone, too.
    """
    sidebar = page.find("md-sidebar--secondary")
    if sidebar >= 0 and (contents := _CONTENTS.search(page, sidebar)):
        whole = page[contents.start() : page.index("</div>", contents.start())].strip()
        page = page.replace(whole, f"{contents[1]}</nav>", page.count(whole) - 1)
    page = _GENERATOR.sub("", page)
    for sign, tag in _ONLY_WITH.items():
        if sign not in page:
            page = re.sub(tag, "", page)
    return page


def unquoted(page: str) -> str:
    """The page without the quotes around attributes that need none.

    Examples:
        >>> from docs.hooks.html import unquoted
        >>> unquoted('<a class="one" href="../two/" title="Two words">class="one"</a>')
        '<a class=one href=../two/ title="Two words">class="one"</a>'
    """
    return _TAG.sub(lambda tag: tag[1] or _NEEDLESS_QUOTES.sub(r"=\1", tag[0]), page)
