"""Build the site with each generator and compare the results: `python -m scripts.compare_sites`.

It compares pages, the elements in their heads, headings, links, the search and the other files. It fails for
a difference that `docs/measured/engines.json` does not list, and for a listed one that is gone.
"""

import argparse
import html
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

from bs4 import BeautifulSoup, Tag

from scripts.build_site import ENGINES, EngineError, build, install, installed_version
from scripts.surroundings import ROOT, read_record

KNOWN = ROOT / "docs" / "measured" / "engines.json"
# Where the sites are built for, so that what depends on it is compared, too.
ADDRESSES = {"SITE_URL": "https://example.org/", "REPO_URL": "https://github.com/example/advprop"}
_COUNTED = {"page": "pages", "heading": "headings", "link": "links", "search": "entries of the search"}
_HOME = "http://site/"
_SEARCH = {"search/search_index.json": "docs", "search.json": "items"}  # the entries' name in each
_OF_THEMES = ("assets/javascripts/", "assets/stylesheets/", "assets/images/", "search/", "search.json")


class Fact(NamedTuple):
    """Something that a site has: a page, a heading, a link ...; `what` is empty for a page or a file."""

    kind: str
    where: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where} {self.what}".rstrip()


class Difference(NamedTuple):
    """What one of two sites has and the other lacks, or a link that leads nowhere; `owner` has it."""

    fact: Fact
    owner: str


def compare(ours: Counter[Fact], theirs: Counter[Fact], engine: str) -> list[Difference]:
    """Compare the facts of the site that MkDocs built with those of another generator's.

    Of a page that only one site has, nothing else is listed.
    """
    shared = {fact.where for fact in ours & theirs if fact.kind == "page"}
    found = [Difference(fact, "both") for fact in ours & theirs if fact.kind == "broken link"]
    for owner, more in (("mkdocs", ours - theirs), (engine, theirs - ours)):
        found += [
            Difference(fact, owner)
            for fact in more
            if fact.kind in ("page", "file") or fact.where.partition("#")[0] in shared
        ]
    return sorted(found)


def judged(found: list[Difference], known: Iterable[str]) -> tuple[list[Difference], list[str]]:
    """Return the differences that no pattern covers, and the patterns that cover nothing any more.

    Patterns are those of file names, for the text of a fact: `head * meta description`.
    """
    covers = {pattern: [each for each in found if fnmatchcase(str(each.fact), pattern)] for pattern in known}
    gone = [pattern for pattern, covered in covers.items() if not covered]
    return [each for each in found if each not in chain(*covers.values())], gone


def facts(site: Path) -> Counter[Fact]:
    """What a built site has, pages by their addresses, such as `guides/export/`."""
    return Counter(_facts(site))


def _facts(site: Path) -> Iterator[Fact]:
    files = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*")) if path.is_file()}
    soups = {
        re.sub(r"(^|/)index\.html$", r"\1", name): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for name, path in files.items()
        if path.suffix == ".html"
    }
    anchors = {address: {str(tag["id"]) for tag in soup.select("[id]")} for address, soup in soups.items()}
    places = anchors | {name: set() for name in files if not name.endswith(".html")}
    for address, soup in soups.items():
        yield Fact("page", address)
        yield from _of_page(address, soup, places)
    for name, path in files.items():
        if name in _SEARCH:
            for entry in json.loads(path.read_text("utf-8"))[_SEARCH[name]]:
                words = f"{_words(entry['title'])}: {_words(entry['text'])}"
                yield Fact("search", entry["location"], words)
        elif path.suffix != ".html" and not name.startswith(_OF_THEMES):
            yield Fact("file", name)


def _of_page(address: str, page: BeautifulSoup, places: dict[str, set[str]]) -> Iterator[Fact]:
    """What is on a page; `places` are the addresses of the site with the anchors of each."""
    for tag in page.select("head > title, head > meta, head > link[rel], head > script[type]"):
        yield Fact("head", address, _named(tag))
    loaded = "a[href], img[src], source[srcset], link[href]:not([rel~=canonical]), script[src]"
    for link in page.select(loaded):
        target, anchor = urldefrag(_target(address, link))
        place = unquote(target).removeprefix(_HOME)
        known = places.get(place)
        if target.startswith(_HOME) and (known is None or (anchor and known and anchor not in known)):
            yield Fact("broken link", address, f"{place}#{anchor}" if anchor else place)
    article = page.find("article")
    if not isinstance(article, Tag):
        return
    for permalink in article.select("a.headerlink"):
        permalink.decompose()
    for heading in article.select("h1, h2, h3, h4, h5, h6"):
        yield Fact("heading", address, f"{heading.name} #{heading.get('id')} {_words(heading.get_text())}")
    for link in article.select("a[href], img[src]"):
        yield Fact("link", address, _target(address, link).removeprefix(_HOME))


def _target(address: str, link: Tag) -> str:
    """The address that a link of a page leads to."""
    given = next(link[name] for name in ("href", "src", "srcset") if link.has_attr(name))  # may be empty
    return urljoin(_HOME + address, str(given))


def _named(tag: Tag) -> str:
    """What an element of a head is, without what themes and generators fill it with."""
    if tag.name == "title":
        return f"title {_words(tag.get_text())}"
    names = ("name", "http-equiv", "property", "rel", "type")
    kind = next((tag[name] for name in names if tag.get(name)), "")
    return f"{tag.name} {kind if isinstance(kind, str) else ' '.join(kind)}".rstrip()


def _words(text: str) -> str:
    """The words of some HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def main() -> int:
    """Build with the generators, print what differs from the site of MkDocs, and return the exit status."""
    others = [name for name in ENGINES if name != "mkdocs"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"{' or '.join(others)}; default: both")
    engines = parser.parse_args().engines or others
    if unknown := set(engines) - set(others):
        parser.error(f"ENGINE must be {' or '.join(others)}; got {', '.join(sorted(unknown))}")
    os.environ |= ADDRESSES
    try:
        with tempfile.TemporaryDirectory() as folder:
            ours, told = built("mkdocs", Path(folder, "mkdocs"))
            print(told, flush=True)
            return int(sum(differs(engine, Path(folder, engine), ours) for engine in engines) > 0)
    except EngineError as error:
        print(f"engines: {error}", file=sys.stderr)
        return 1


def built(engine: str, site: Path) -> tuple[Counter[Fact], str]:
    """Build the site; return its facts, and a line about them."""
    install(engine)
    started = time.perf_counter()
    build(engine, site)
    seconds = time.perf_counter() - started
    found = facts(site)
    kinds = Counter(fact.kind for fact in found.elements())
    counts = ", ".join(f"{kinds[kind]} {name}" for kind, name in _COUNTED.items())
    return found, f"{engine} {installed_version(engine)}: built in {seconds:.0f} s; {counts}"


def differs(engine: str, site: Path, ours: Counter[Fact]) -> bool:
    """Build with another generator and print what differs; return whether anything of it is new."""
    theirs, told = built(engine, site)
    found = compare(ours, theirs, engine)
    new, gone = judged(found, known(engine))
    print(f"{told}; {len(found)} differences, {len(new)} of them new", flush=True)
    for each in new:
        fact, what = each.fact, shorten(each.fact.what, 60)
        print(f"  {fact.kind:12} {fact.where or './':44} {each.owner:11} {what}".rstrip())
    for pattern in gone:
        print(f"  {KNOWN.name} lists a difference that is gone: {pattern}")
    return bool(new or gone)


def known(engine: str) -> list[str]:
    """The patterns of what is known of a generator."""
    return [pattern for lack in read_record(KNOWN, {})[engine]["lacks"] for pattern in lack["facts"]]


if __name__ == "__main__":
    sys.exit(main())
