"""The pages as a folder of Markdown for a generator without hooks, and the extension that finishes them."""

import logging
from pathlib import Path
from typing import Any

import markdown
import pytest
import yaml

from docs.hooks import content, tree, write_tree
from docs.hooks.rendering import PageError
from scripts.published import Published


@pytest.mark.parametrize(
    ("path", "text", "linked"),
    [
        ("a/b.md", "[x](../notebooks/01.ipynb#y)", "[x](../notebooks/01.md#y)"),
        ("a/b.md", "[x](https://example.org/01.ipynb)", "[x](https://example.org/01.ipynb)"),
        ("a/b.md", "`[x](01.ipynb)`", "`[x](01.ipynb)`"),
        ("a/b.md", '<a href="../c/">', '<a href="c/">'),
        ("a/b.md", '<a class="x" href="d.ipynb" download>', '<a class="x" href="b/d.ipynb" download>'),
        ("a/b.md", '<img src="p.png">', '<img src="b/p.png">'),
        ("a/index.md", '<img src="p.png">', '<img src="p.png">'),
        ("a/b.md", '<a href="#c"> <img src="data:x">', '<a href="#c"> <img src="data:x">'),
        ("a/b.md", '```html\n<img src="p.png">\n```\n', '```html\n<img src="p.png">\n```\n'),
    ],
)
def test_links_lead_from_the_file_of_a_page(path: str, text: str, linked: str) -> None:
    assert write_tree.linked(path, text) == linked


def converted(text: str) -> str:
    extensions: list[Any] = ["pymdownx.arithmatex", write_tree.EXTENSION, "tables"]
    options = {"pymdownx.arithmatex": {"generic": True}}
    return markdown.markdown(text, extensions=extensions, extension_configs=options)


def test_the_extension_finishes_a_page() -> None:
    text = "$x^2$\n\n| a |\n| - |\n| b |\n"
    whole = converted(content.marked(text, "docs/a.md"))
    prose = converted(content.marked(text, "docs/a.md", prose_only=True))
    assert "<msup>" in whole
    assert "<table>" in whole
    assert "<table data-search-exclude>" in prose
    assert "docs/a.md" not in whole + prose


def test_a_wrong_formula_is_told_with_its_page(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(PageError, match=r"docs/a\.md: \\nonsense: "):
        converted(content.marked(r"$\nonsense$", "docs/a.md"))
    assert r"docs/a.md: \nonsense: " in caplog.text


@pytest.mark.slow
def test_the_tree_has_every_page(tmp_path: Path) -> None:
    place = Published("1.0", site="https://example.org", repository="https://example.org/r")
    write_tree.write(tmp_path, place)
    written = {path.relative_to(tmp_path / "docs").as_posix() for path in tmp_path.rglob("*.md")}
    site = tree.Site()
    notebooks = {name.replace(".ipynb", ".md") for name in tree.notebook_pages()}
    sources = {path.relative_to(tree.DOCS).as_posix() for path in tree.DOCS.rglob("*.md")}
    assert written == notebooks.union(site.collection_pages(), sources) - {
        name for name in sources if name.startswith("templates/")
    }
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "docs").rglob("*.md")]
    assert not any("{%" in page or "Model Index" in page for page in pages)
    assert (tmp_path / "docs" / "models" / "advprop.html").is_file()
    text = (tmp_path / "mkdocs.yml").read_text(encoding="utf-8")
    assert "site_url: https://example.org/\n" in text
    nav = yaml.safe_load(text[text.index("\nnav:") : text.index("\ntheme:")])["nav"]
    assert set(listed(nav)) == written
    assert not any(word in text for word in ("hooks:", "mkdocs-jupyter", "ipynb"))


def listed(nav: list[Any]) -> list[str]:
    """The pages of a navigation."""
    found: list[str] = []
    for item in nav:
        for below in item.values() if isinstance(item, dict) else [item]:
            found += listed(below) if isinstance(below, list) else [below]
    return found
