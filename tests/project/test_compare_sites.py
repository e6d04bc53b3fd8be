"""Two built sites are compared: every kind of difference is found, and what is known of it is listed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.hooks import tree
from scripts import compare_sites
from scripts.build_site import ENGINES, INSTALLED, installed_version
from scripts.compare_sites import Difference, Fact, compare, facts, judged, known
from tests.site_tools import ROOT

PAGE = """<html><head><title>{title}</title><meta name="description" content="x"></head><body>
<nav><a href="{up}">Home</a> <a href="{up}guide/">Guide</a></nav>
<article><h1 id="top">{title}<a class="headerlink" href="#top">#</a></h1>
<p>See <a href="{up}guide/#top">the guide</a>, <a href="https://example.org">others</a>.</p>
<img src="{up}a.png"></article></body></html>"""


@pytest.fixture
def sites(tmp_path: Path) -> tuple[Path, Path]:
    """The same site twice, with the search of MkDocs and with that of Zensical."""
    entries = [{"location": "guide/#top", "title": "<code>Guide</code>", "text": "<p>Some &amp; words</p>"}]
    for name in ("ours", "theirs"):
        for page, up in (("", ""), ("guide/", "../")):
            path = tmp_path / name / page / "index.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(PAGE.format(title=page or "Home", up=up), encoding="utf-8")
        (tmp_path / name / "a.png").write_bytes(b"")
    (tmp_path / "ours" / "search").mkdir()
    (tmp_path / "ours" / "search" / "search_index.json").write_text(json.dumps({"docs": entries}))
    entries[0] |= {"title": "Guide", "text": "Some  &amp; words", "level": 1}
    (tmp_path / "theirs" / "search.json").write_text(json.dumps({"items": entries}))
    return tmp_path / "ours", tmp_path / "theirs"


def differences(sites: tuple[Path, Path]) -> list[tuple[str, str, str]]:
    """What differs: the owner, the kind, and the rest of the fact."""
    found = compare(facts(sites[0]), facts(sites[1]), "other")
    return [(each.owner, each.fact.kind, f"{each.fact.where} {each.fact.what}".strip()) for each in found]


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of a file of the site."""

    def change(site: Path) -> None:
        text = (site / name).read_text(encoding="utf-8")
        assert old in text
        (site / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def test_the_same_site_by_another_generator_does_not_differ(sites: tuple[Path, Path]) -> None:
    assert differences(sites) == []
    counted = facts(sites[0])
    assert {fact.kind for fact in counted} == {"page", "head", "heading", "link", "search", "file"}
    assert counted[Fact("link", "guide/", "guide/#top")] == 1
    assert counted[Fact("search", "guide/#top", "Guide: Some & words")] == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            replaced("guide/index.html", 'h1 id="top"', 'h1 id="start"'),
            [
                ("other", "broken link", " guide/#top"),
                ("other", "broken link", "guide/ guide/#top"),
                ("mkdocs", "heading", "guide/ h1 #top guide/"),
                ("other", "heading", "guide/ h1 #start guide/"),
            ],
        ),
        (
            replaced("guide/index.html", 'href="../guide/#top"', 'href="../#top"'),
            [("mkdocs", "link", "guide/ guide/#top"), ("other", "link", "guide/ #top")],
        ),
        (
            replaced("index.html", '<a href="guide/">', '<a href="guides/">'),
            [("other", "broken link", "guides/")],
        ),
        (
            replaced("index.html", '<meta name="description" content="x">', ""),
            [("mkdocs", "head", "meta description")],
        ),
        (
            replaced("search.json", "Some ", "More "),
            [
                ("mkdocs", "search", "guide/#top Guide: Some & words"),
                ("other", "search", "guide/#top Guide: More & words"),
            ],
        ),
        (
            lambda site: (site / "llms.txt").write_text("x"),
            [("other", "file", "llms.txt")],
        ),
        (
            lambda site: (site / "guide" / "index.html").rename(site / "guide" / "other.html"),
            [
                ("mkdocs", "page", "guide/"),
                ("other", "broken link", "guide/"),
                ("other", "page", "guide/other.html"),
            ],
        ),
    ],
)
def test_a_difference_is_found(
    change: Callable[[Path], None], expected: list[tuple[str, str, str]], sites: tuple[Path, Path]
) -> None:
    change(sites[1])
    found = {(owner, kind, rest.strip()) for owner, kind, rest in differences(sites)}
    assert {(owner, kind, rest.strip()) for owner, kind, rest in expected} <= found
    assert {kind for _, kind, _ in found} == {kind for _, kind, _ in expected}


def test_a_link_that_is_broken_in_both_sites_is_found(sites: tuple[Path, Path]) -> None:
    for site in sites:
        (site / "a.png").unlink()
    assert ("both", "broken link", "guide/ a.png") in differences(sites)


def test_only_what_nobody_lists_is_new() -> None:
    found = [
        Difference(Fact("file", "guide/index.md"), "mkdocs"),
        Difference(Fact("page", "guide/"), "mkdocs"),
    ]
    assert judged(found, ["file *index.md", "head * meta x"]) == ([found[1]], ["head * meta x"])
    assert judged(found, ["file *", "page guide/"]) == ([], [])


def test_the_architecture_page_lists_what_is_known() -> None:
    listed = json.loads(compare_sites.KNOWN.read_text(encoding="utf-8"))
    assert listed.keys() == ENGINES.keys() - {"mkdocs"}
    assert known("zensical")
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    page = tree.Site().written_page("architecture.md", text, text)
    for engine in listed.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| {engine['name']} |"))
        assert f"| {engine['version']} | {engine['date']} |" in row
        assert all(lack["words"] in row for lack in engine["lacks"])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("engine", sorted(ENGINES.keys() - {"mkdocs"}))
def test_another_generator_builds_the_same_pages(engine: str) -> None:
    if not installed_version(engine):
        pytest.skip(
            f"{engine} is not in {INSTALLED.relative_to(ROOT)}; install it: make site ENGINE={engine}"
        )
    command = [sys.executable, "-m", "scripts.compare_sites", engine]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{engine} {installed_version(engine)}: built in" in done.stdout
