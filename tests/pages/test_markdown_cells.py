"""Markdown cells on one page: links and footnotes of a cell are its own, pictures come along, fences end."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from docs.hooks.markdown_cells import after_title, headings, markdown_cells, title_and_summary
from docs.hooks.outputs import Figures


def shown(*sources: str | NotebookNode, beside: Path = Path()) -> tuple[list[str], dict[str, bytes]]:
    cells = [each if isinstance(each, NotebookNode) else v4.new_markdown_cell(each) for each in sources]
    figures = Figures()
    return list(markdown_cells(cells, figures, beside, "one/").values()), figures.files


def test_a_label_that_two_cells_define_is_each_cells_own() -> None:
    (first, second), _ = shown(
        "The [paper][1], [Paper], [Paper][] and a note[^n].\n\n[1]: https://a\n[Paper]: https://b\n[^n]: 1.",
        "The [code][1], `x[1]`, [Paper].\n\n```\ny[1]\n```\n[1]: https://c\n[paper]: https://d\n[^n]: Two.",
    )
    assert "[paper][1-1], [Paper][Paper-1], [Paper][Paper-1] and a note[^n-1]." in first
    assert "[1-1]: https://a\n[Paper-1]: https://b\n[^n-1]: 1." in first
    assert "[code][1-2], `x[1]`, [Paper][Paper-2]." in second
    assert "y[1]\n" in second
    assert "[1-2]: https://c" in second


def test_a_label_that_one_cell_defines_is_the_pages() -> None:
    sources = ("See [it][1] and [that](x.md) and x[1].", "[1]: https://a")
    assert shown(*sources)[0] == list(sources)


def test_a_fence_that_is_open_ends_with_its_cell() -> None:
    (first, second), _ = shown("```python\nx = 1", "~~~~\na\n~~~\nb\n~~~~\nwords")
    assert first == "```python\nx = 1\n```"
    assert second.endswith("~~~~\nwords")


def test_pictures_come_along(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.png").write_bytes(b"a")
    attached = v4.new_markdown_cell('![it](attachment:b.png "b") and `![](attachment:c.png)`')
    attached["attachments"] = {"b.png": {"image/png": base64.b64encode(b"b").decode()}}
    (first, second, third), files = shown(
        '![](plots/a.png)\n<img alt="a" src="plots/a.png" width="10">',
        attached,
        "![](https://example.org/x.png)",
        beside=tmp_path,
    )
    assert first == '![](one/a.png)\n<img alt="a" src="a.png" width="10">'
    (name,) = set(files) - {"a.png"}
    assert files == {"a.png": b"a", name: b"b"}
    assert second == f'![it](one/{name} "b") and `![](attachment:c.png)`'
    assert third == "![](https://example.org/x.png)"


@pytest.mark.parametrize("source", ["![](attachment:x.png)", '<img src="x.png">', "![](x.png)"])
def test_a_picture_that_is_not_there_is_refused_by_name(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cell 2 shows a picture that is not there: .*x\.png"):
        shown("Words.", source, beside=tmp_path)


@pytest.mark.parametrize("source", ["# One #\n", "One\n===\n", '<h1 id="a">One</h1>\n', "# One\n"])
def test_headings_of_every_kind(source: str) -> None:
    assert title_and_summary(f"{source}\nWhat it\nteaches.\n\nMore.") == ("One", "What it\nteaches.")
    assert headings(f"{source}\n```\n# no heading\n```\n## Two") == ["One", "Two"]
    assert after_title(source + "\nWords.") == len(source.rstrip())


def test_a_page_may_begin_without_a_heading() -> None:
    assert title_and_summary("Words.\n\nMore.") == ("", "Words.")
    assert after_title("Words.") == 0
