"""Outputs of cells on a page: the form that Jupyter shows, words as they are, styles that stay inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nbformat import NotebookNode, v4
from PIL import Image

from docs.hooks import notebooks
from docs.hooks.inline_svg import inline_svg
from docs.hooks.outputs import Figures, as_text, safe_html, show

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = """<?xml version="1.0"?><!DOCTYPE svg><svg xmlns="http://www.w3.org/2000/svg"
 xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" viewBox="0 0 9 9" version="1.1">
<metadata>no</metadata><defs><style>path{stroke-linecap: butt}</style><path id="p" d="M1.23456 0
L 2 3.0"/></defs>

<use xlink:href="#p" style="stroke: #000000; clip-path: url(#p)"/>
<text style="font-family: x, 'y'; fill: Black">black ink on #000, style="fill: black"</text>
<image xlink:href="data:image/png;base64,PIXEL"/></svg>""".replace("PIXEL", PIXEL)


def write(folder: Path, *cells: NotebookNode) -> Path:
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Title\n\nWords, $x^2$."), *cells])
    path = folder / "one.ipynb"
    path.write_text(v4.writes(notebook), encoding="utf-8")
    return path


def code(source: str, *outputs: NotebookNode, **metadata: Any) -> NotebookNode:
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def display(**data: str) -> NotebookNode:
    kinds = {"svg": "image/svg+xml", "png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif"}
    return v4.new_output("display_data", {kinds.get(k, f"text/{k}"): each for k, each in data.items()})


def shown(**data: str) -> str:
    return show(display(**data), Figures(), "A figure")


def test_outputs_become_markdown(tmp_path: Path) -> None:
    cells = [
        code(
            "print('```')",
            v4.new_output("stream", text="10%\r20%\r\x1b[31m30%\x1b[0m\n"),
            v4.new_output("stream", text="more\n"),
        ),
        code("figure", display(svg=SVG), alt='A "line"'),
        code("figure", display(png=PIXEL, plain="<Figure>")),
        code("hidden", tags=["remove-cell"]),
    ]
    page = notebooks.render_notebook(write(tmp_path, *cells))
    assert page.markdown.startswith("# Title\n")
    assert 'href="one.ipynb" download' in page.markdown.splitlines()[2]
    assert "````python\nprint('```')\n````" in page.markdown
    assert "```{.text .output .no-copy}\n30%\nmore\n```" in page.markdown
    assert 'style="width: 96px"' in page.markdown
    assert 'aria-label="A &quot;line&quot;"' in page.markdown
    (name,) = page.files
    assert f'<img src="{name}" alt="Figure: Title"' in page.markdown
    assert "base64" not in page.markdown
    assert "hidden" not in page.markdown


def test_the_words_of_a_figure_stay_and_its_black_is_the_themes() -> None:
    figures = Figures()
    svg = figures.add_svg(SVG, "x")
    assert '>black ink on #000, style="fill: black"</text>' in svg
    assert '<text style="fill:currentColor">' in svg
    assert '<use href="#f1-0" style="stroke:currentColor;clip-path:url(#f1-0)"/>' in svg
    assert '<path id="f1-0" d="M1.2 0L2 3"/>' in svg
    assert "metadata" not in svg
    (name,) = figures.files
    assert f'<foreignObject><img src="{name}" alt="" loading="lazy"/></foreignObject>' in svg


def test_two_figures_share_neither_ids_nor_styles() -> None:
    figures = Figures()
    first, second = (figures.add_svg(SVG, "x") for _ in range(2))
    assert '<path id="f2-0"' in second
    assert 'id="f2-' not in first
    assert "@scope (#f1) {path{stroke-linecap: butt}}" in first
    assert ' id="f1"' in first
    assert "@scope (#f2)" in second


def test_colors_are_no_references_and_ids_in_styles_are() -> None:
    markup = (
        '<svg><style>#a {fill: #abc}</style><rect id="a" fill="#dd7813" stroke="#abc"/>'
        "<path id='b' clip-path=\"url('#c')\"/><clipPath id='c'/></svg>"
    )
    svg = inline_svg(markup, "f1", "x", str)
    assert '<rect id="f1-0" fill="#dd7813" stroke="#abc"/>' in svg
    assert "@scope (#f1) {#f1-0 {fill: #abc}}" in svg
    assert "<path clip-path=\"url('#f1-1')\"/>" in svg
    assert '<clipPath id="f1-1"/>' in svg


def test_styles_of_many_points_are_said_once() -> None:
    point, line = '<circle style="fill: red; font-family: x, y"/>', '<path style="stroke: black"/>'
    svg = inline_svg(f"<svg>{point}{line}{point}{line}{point}</svg>", "f1", "x", str)
    assert "<style>.f1-s0{fill:red}</style>" in svg
    assert svg.count('<circle class="f1-s0"/>') == 3
    assert '<path style="stroke:currentColor"/>' in svg


def test_neighbors_that_look_alike_share_a_group() -> None:
    bar = '<rect style="fill: red" clip-path="url(#a)" x="1"/>'
    turned = '<rect style="fill: green" transform="rotate(9)"/>'
    faint = '<rect style="fill: red; opacity: 0.5"/>'
    svg = inline_svg(f"<svg><clipPath id='a'/>{bar * 2}{turned * 2}{faint * 2}</svg>", "f1", "x", str)
    together = '<g style="fill:red" clip-path="url(#f1-0)"><rect x="1"/><rect x="1"/></g>'
    assert together in svg
    assert (
        svg.count("<g ") == 1
    )  # what is turned is cut elsewhere, and what is faint shines through each other


def test_a_rule_for_all_elements_is_inherited_and_others_keep_elements_where_they_are() -> None:
    bars = '<rect style="fill: red; stroke-linejoin: miter"/>' * 2
    of_all = "<defs><style>*{stroke-linejoin: round; stroke-linecap: butt}</style></defs>"
    svg = inline_svg(f"<svg>{of_all}{bars}</svg>", "f1", "x", str)
    assert svg.startswith('<svg stroke-linejoin="round" stroke-linecap="butt" ')
    assert '<g style="fill:red;stroke-linejoin:miter"><rect/><rect/></g>' in svg
    assert "<style" not in svg
    structured = inline_svg(f"<svg><style>svg > rect {{x: 1}}</style>{bars}</svg>", "f1", "x", str)
    assert "<g" not in structured


def test_what_draws_nothing_is_left_out() -> None:
    unseen, text = '<path style="fill: none" d="M0 0"/>', '<text transform="translate(1.04 2.16)">a</text>'
    assert inline_svg(f"<svg><defs/>{unseen}</svg>", "f1", "x", str).endswith('aria-label="x"/>')
    assert '<text x="1" y="2.1">a</text>' in inline_svg(f"<svg>{text}</svg>", "f1", "x", str)
    outlined = inline_svg(f'<svg><g stroke="red">{unseen}</g></svg>', "f1", "x", str)
    assert "<path " in outlined
    by_rule = inline_svg(f"<svg><style>path {{stroke: red}}</style>{unseen}</svg>", "f1", "x", str)
    assert "<path " in by_rule


@pytest.mark.parametrize("markup", ["<svg><g></svg>", "<html/>"])
def test_what_is_no_svg_is_refused(markup: str) -> None:
    with pytest.raises(ValueError, match="not an SVG"):
        inline_svg(markup, "f1", "x", str)


def test_of_several_forms_the_one_that_jupyter_shows() -> None:
    assert "<b>h</b>" in shown(html="<b>h</b>", markdown="m", latex="l", plain="p")
    assert shown(markdown="m", latex="l", svg=SVG, plain="p") == "m"
    assert shown(latex="Costs $5\\$ x$\n", plain="<Latex object>") == "Costs $5\\$ x$"
    assert "<svg" in shown(svg=SVG, png=PIXEL)
    assert "p\n```" in shown(plain="p")


@pytest.mark.parametrize(("kind", "ending"), [("png", "png"), ("jpeg", "jpg"), ("gif", "gif")])
def test_bitmaps_of_every_kind_lie_beside_the_page(kind: str, ending: str) -> None:
    figures = Figures()
    markup = show(display(**{kind: PIXEL, "plain": "<Image>"}), figures, "A figure")
    (name,) = figures.files
    assert name.endswith(f".{ending}")
    assert f'<img src="{name}" alt="A figure" width="1" height="1" loading="lazy"/>' in markup


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("50%\r100%\r", "100%"),
        ("100 of 100\r7", "700 of 100"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("\x1b]8;;https://example.org\x1b\\words\x1b]8;;\x1b\\", "words"),
        ("\x1b[1;31mred\x1b[0m", "red"),
    ],
)
def test_text_is_what_a_terminal_shows_in_the_end(written: str, seen: str) -> None:
    assert as_text(written) == seen


def test_html_keeps_its_words_and_loses_its_scripts() -> None:
    markup = "<p onclick='x'>evaluate(model, only=\"clean\") &lt;b&gt;</p>\n\n<script>y</script>"
    html, own = safe_html(f"{markup}<pre>a\n\n\nb</pre>", "f1")
    assert own == ""
    assert '<p>evaluate(model, only="clean") &lt;b&gt;</p>' in html
    assert "<pre>a&#10;&#10;\nb</pre>" in html
    assert "script" not in html
    assert "\n\n" not in html


def test_a_diagram_of_scikit_learn_keeps_its_style_to_itself() -> None:
    html = pytest.importorskip("sklearn.linear_model").LogisticRegression()._repr_html_()
    page = show(v4.new_output("execute_result", {"text/html": html}), Figures(), "x")
    assert "@scope (#f1) {" in page
    assert "LogisticRegression" in page
    assert "<script" not in page
    assert "&#10;" not in page.partition("</style>")[0]
    assert page.startswith('<div class="output" id="f1">')


def test_a_page_says_what_is_unusual_about_a_cell(tmp_path: Path) -> None:
    failed = v4.new_output(
        "error", ename="ValueError", evalue="no", traceback=["\x1b[31mValueError\x1b[0m: no"]
    )
    warned = v4.new_output("stream", name="stderr", text="careful\n")
    cells = [
        code("left()", tags=["nbval-skip"]),
        code("fail()", failed, tags=["raises-exception"]),
        code("warn()", warned, tags=["shows-stderr"]),
    ]
    page = notebooks.render_notebook(write(tmp_path, *cells)).markdown
    for source, said in zip(("left()", "fail()", "warn()"), notebooks.NOTES.values(), strict=True):
        assert f'{source}\n```\n\n<p class="stamp note">{said}</p>' in page
    assert "\nValueError: no\n" in page
    assert "careful" in page


def test_photographs_are_light_and_see_through_where_they_were() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 4), dtype=np.uint8)
    pixels[..., 3] = 255 * (np.arange(300) < 200)
    heavy, small = (png(each) for each in (pixels, pixels[:20]))
    figures, narrow = Figures(), Figures(widest=100)
    (unchanged,) = figures.add(b64(small))
    assert figures.files[unchanged] == small
    lighter = figures.add(b64(heavy))
    assert [name.rpartition(".")[2] for name in lighter] == ["avif", "webp"]
    for name in lighter:
        assert len(figures.files[name]) < len(heavy) / 3
        alpha = np.asarray(decoded(figures.files[name]))[..., 3].astype(int)
        assert abs(alpha - pixels[..., 3])[:, np.abs(np.arange(300) - 200) > 4].max() < 12
    assert [decoded(narrow.files[name]).size for name in narrow.add(b64(heavy))] == [(100, 100)] * 2


def test_a_photograph_in_a_figure_is_loaded_when_it_is_seen() -> None:
    photograph = png(np.random.default_rng(0).integers(0, 256, (300, 300, 4), dtype=np.uint8))
    data = f"data:image/png;base64,{b64(photograph)}"
    image = f'<image style="image-rendering: pixelated" width="9" href="{data}"/>'
    figures = Figures(largest=0)
    svg = figures.add_svg(f'<svg xmlns="http://www.w3.org/2000/svg">{image}</svg>', "x")
    avif, webp = figures.files
    assert f'<foreignObject width="9"><picture><source srcset="{avif}" type="image/avif"/>' in svg
    assert f'<img src="{webp}" alt="" loading="lazy"/></picture></foreignObject>' in svg


def decoded(content: bytes) -> Image.Image:
    """A picture with its transparency."""
    return Image.open(io.BytesIO(content)).convert("RGBA")


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(("height", "cut"), [(80, True), (60, False)])
def test_in_a_list_a_tall_picture_is_shown_from_its_top(height: int, cut: bool) -> None:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 {height}"><path d="M1 0"/></svg>'
    picture = notebooks.first_figure(v4.new_notebook(cells=[code("a", display(svg=svg))]), Figures())
    assert ('<svg preserveAspectRatio="xMidYMin slice" ' in picture) == cut
    beside = notebooks.first_figure(v4.new_notebook(cells=[code("a", display(svg=svg))]), Figures(largest=0))
    assert beside.startswith('<figure class="output">\n<img class="drawn" ')
    assert ("object-position: top" in beside) == cut
