"""Formulas become MathML, or are refused by name."""

import pytest
from bs4 import BeautifulSoup
from markdown import Markdown

from docs.hooks.html import to_mathml
from docs.hooks.rendering import PageError

ARITHMATEX = {"pymdownx.arithmatex": {"generic": True}}


def page_with(formula: str) -> str:
    markdown = Markdown(extensions=["pymdownx.arithmatex"], extension_configs=ARITHMATEX)
    return to_mathml(markdown.convert(formula), "docs/x.md")


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("$x < 3$", "<mi>x</mi><mo>&lt;</mo><mn>3</mn>"),
        (r"$$\frac{a}{b}$$", "<mfrac><mi>a</mi><mi>b</mi></mfrac>"),
        (r"$x_{\text{adv}}$", "<mtext>adv</mtext>"),
        (r"$\lVert\delta\rVert_\infty \le \epsilon$", "‖"),
        (r"$$\operatorname*{argmin}_\theta L$$", "<mi>argmin</mi></mrow><mi>θ</mi></munder>"),
        (r"$$\begin{aligned} a &= b \\ c &= d \end{aligned}$$", "<mtable"),
        ("\\begin{align}\na &= b\n\\end{align}", "<mtext>(1)</mtext>"),
        (r"$50\%$", "%"),
        (
            r"$\displaystyle \frac{a}{b} < 1$",
            "<mfrac><mi>a</mi><mi>b</mi></mfrac><mo>&lt;</mo>",
        ),
    ],
)
def test_a_formula_becomes_mathml(formula: str, shown: str) -> None:
    page = page_with(formula)
    assert page.count("<math") == 1
    assert shown in page
    assert "arithmatex" not in page
    assert "\\" not in BeautifulSoup(page, "html.parser").get_text()


def test_equations_are_numbered_and_referred_to() -> None:
    first, second = (rf"$$\begin{{equation}}{name}\label{{{name}}}\end{{equation}}$$" for name in "ab")
    soup = BeautifulSoup(
        page_with(rf"See $\eqref{{b}}$.{2 * chr(10)}{first}{2 * chr(10)}{second}"), "html.parser"
    )
    link = soup.select_one("a")
    assert (link["href"], link.get_text()) == ("#formula-b", "(2)")
    assert soup.select_one("#formula-b").get_text() == "(2)"


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        (r"$\foo + 1$", r'\foo + 1: Unknown command "\foo"'),
        (r"$\text{a \foo}$", r'\text{a \foo}: Unknown command "\foo"'),
        (r"$$\begin{foo} x \end{foo}$$", r'\begin{foo} x \end{foo}: Unknown environment "foo"'),
        (r"$x^{2$", r'x^{2: Expected closing token "}"'),
        (r"$x}$", r"x}: Unmatched closing token"),
        (r"$\frac{a}$", r"\frac{a}: Expected argument"),
        (r"$x_1_2$", "x_1_2: Duplicate subscript"),
        (r"$\left( x$", r'\left( x: Expected closing token "\right"'),
        (r"$$\begin{aligned} a$$", r'\begin{aligned} a: Expected closing token "\end'),
        (r"$\ref{a}$", r'\ref{a}: Unknown command "\ref"'),
        (r"$\eqref{}$", r"\eqref{}: no formula of this page has this label"),
        (r"$x = \eqref{far}$", r"\eqref{far}: no formula of this page has this label"),
        (r"$$x \label{a}$$", r'x \label{a}: Found "\label"'),
        (2 * "$$\\begin{equation}a\\label{a}\\end{equation}$$\n\n", r"\label{a}: two have it"),
        (r"$$a \\ b$$", r"a \\ b: \\ ends a line only in an environment"),
        (r"$$\begin{aligned} a \\[1em] b \end{aligned}$$", r"\begin{aligned} a \\[1em] b \end{aligned}: ["),
        (r"$$50% of x$$", "50% of x: % begins a comment"),
        ("$$a\n+ \\foo$$", r"a + \foo: Unknown command"),
        ("## The price $K$", "K: a formula in a heading"),
    ],
)
def test_a_formula_that_cannot_be_shown_is_refused(formula: str, told: str) -> None:
    with pytest.raises(PageError) as caught:
        page_with(formula)
    assert str(caught.value).startswith(f"docs/x.md: {told}")
    assert "\n" not in str(caught.value)
