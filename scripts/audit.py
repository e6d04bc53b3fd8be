"""How light and how accessible the built site is: `make audit`, or `python -m scripts.audit SITE`.

The site is served as hosts do, compressed and with its headers. Chromium loads each page and tells how much a
first visit loads, what axe finds, what reaches over the edge of the text. Lighthouse is asked where it is
installed (`npm install --global lighthouse`), on a simulated phone. The record is `docs/measured/site.json`.
"""

import argparse
import functools
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, Literal

from playwright.sync_api import Browser, Page, Response, ViewportSize, sync_playwright
from tqdm import tqdm

from advprop.cards import load_model_index
from scripts.notebook_cache import tutorials
from scripts.serve import SiteHandler
from scripts.surroundings import ROOT, circumstances, write_record

RECORD = ROOT / "docs" / "measured" / "site.json"
MODELS = sorted(card.name for card in load_model_index().members("AdvProp"))
NOTEBOOKS = [f"notebooks/{path.stem}" for path in tutorials()]
# Of each kind of page one or more; those that are more than text.
KINDS = [
    "",
    "models/advprop",
    f"models/{MODELS[4]}",
    "guides",
    "guides/export",
    "reference",
    "reference/tasks",
    "architecture",
    "changelog",
]
PAGES = [*KINDS, "results", "cost", "tutorials", *NOTEBOOKS]
WIDTHS = (320, 768, 1024, 1280, 1440, 2560)
READERS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 390))
INSTALL = "sudo apt-get install chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What reaches over the edge of the text into the table of contents, or out of the window.
REACHING = """() => {
    const beside = document.querySelector(".md-sidebar--secondary");
    const shown = beside?.checkVisibility() && beside.getBoundingClientRect().width > 0;
    const edge = shown ? beside.getBoundingClientRect().left : document.documentElement.clientWidth;
    const cut = (element) => element && element.tagName !== "ARTICLE" &&
        (getComputedStyle(element).overflowX !== "visible" || cut(element.parentElement));
    const right = (element) => element.getBoundingClientRect().right;
    return [...document.querySelectorAll("article *")]
        .filter((each) => each.checkVisibility() && right(each) > edge + 1)
        .filter((each) => !cut(each.parentElement))
        .map((each) => `${each.outerHTML.slice(0, 60)} reaches to ${right(each)}, the edge is at ${edge}`);
}"""
_COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".xml", ".txt", ".md"}


def main(arguments: list[str] | None = None) -> int:
    """Measure, show and keep it; return the exit status: 1 if something has to be mended."""
    parser = argparse.ArgumentParser(description="How light and how accessible the built site is.")
    parser.add_argument("site", nargs="?", type=Path, default=ROOT / "site", help="where it was built")
    parser.add_argument("--record", type=Path, default=RECORD, help="where to keep it")
    asked = parser.parse_args(arguments)
    program = chromium()
    if program is None or not (asked.site / "index.html").is_file():
        no_site = f"there is no site in {asked.site}; build it: make site"
        missing = no_site if program else f"there is no Chromium; install it: {INSTALL}"
        print(f"error: {missing}", file=sys.stderr)
        return 2
    with served(asked.site, CompressingHandler) as address, launched(program) as browser:
        rows = {name: measure(browser, address, name, asked.site) for name in tqdm(PAGES, disable=None)}
        try:
            for name in tqdm(PAGES, "Lighthouse", disable=None):
                rows[name] |= lighthouse(address_of(address, name), program)
        except subprocess.CalledProcessError as error:
            print(f"error: Lighthouse failed: {error.stderr.strip()}", file=sys.stderr)
            return 1
    record = {"pages": rows, **circumstances("cpu"), "command": "make audit"}
    write_record(asked.record, record)
    print(table(rows))
    return int(any(row["axe"] or row["reaching"] for row in rows.values()))


class CompressingHandler(SiteHandler):
    """Serves text as hosts do, compressed by gzip."""

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Begin an answer."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() and self.path.endswith("/") else path
        if path.suffix not in _COMPRESSED or not path.is_file():
            return super().send_head()
        content = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", f"{self.guess_type(path)}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)


@contextmanager
def served(site: Path, handler: type[SiteHandler] = SiteHandler) -> Iterator[str]:
    """Serve a folder with the headers that it asks for; gives its address."""
    of_site = functools.partial(handler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), of_site) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def chromium() -> str | None:
    """The program, if it is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def launched(program: str) -> Iterator[Browser]:
    """A running browser."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=FLAGS) as running,
    ):
        yield running


def address_of(address: str, name: str) -> str:
    """The address of a page."""
    return f"{address}{name}/" if name else address


def first_visit(browser: Browser, url: str) -> dict[str, int]:
    """Bytes of all that a page loads for a reader who has nothing yet, before compression, by address."""
    with browser.new_context() as opened:
        page = opened.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        page.goto(url, wait_until="networkidle")
        return {answer.url: len(answer.body()) for answer in answers}


def axe_findings(page: Page) -> list[str]:
    """What axe finds on the page that is shown."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:100]}" for each in found]


def reaching(page: Page) -> list[str]:
    """What reaches over the edge of the text, at each width."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{width} px: {each}" for each in page.evaluate(REACHING)[:1]]
    return found


def measure(browser: Browser, address: str, name: str, site: Path) -> dict[str, Any]:
    """What one page weighs, and what is wrong with it."""
    url = address_of(address, name)
    faults = []
    for scheme, width in READERS:
        size: ViewportSize = {"width": width, "height": 900}
        with browser.new_context(color_scheme=scheme, viewport=size, reduced_motion="reduce") as opened:
            page = opened.new_page()
            page.goto(url, wait_until="networkidle")
            faults += axe_findings(page)
            over = reaching(page)
    weight = sum(first_visit(browser, url).values())
    html = (site / name / "index.html").stat().st_size
    return {"html": html, "first_visit": weight, "axe": faults, "reaching": over}


def lighthouse(url: str, program: str) -> dict[str, int | None]:
    """Lighthouse's points of 100 for performance and accessibility; nothing where it is not installed."""
    kinds = ("performance", "accessibility")
    if (found := shutil.which("lighthouse")) is None:
        return dict.fromkeys(kinds)
    command = [found, url, "--output=json", "--quiet", f"--only-categories={','.join(kinds)}"]
    command.append(f"--chrome-flags=--headless {' '.join(FLAGS)}")
    environment = os.environ | {"CHROME_PATH": program}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    categories = json.loads(done.stdout)["categories"]
    return {kind: round(100 * categories[kind]["score"]) for kind in kinds}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The measurements as text."""
    lines = [f"{'page':34}{'HTML KiB':>9}{'visit KiB':>10}{'axe':>5}{'over edge':>10}{'Lighthouse':>15}"]
    for name, row in rows.items():
        scores = f"{row['performance']}, {row['accessibility']}" if row["performance"] else "not installed"
        weights = f"{row['html'] / 1024:9.0f}{row['first_visit'] / 1024:10.0f}"
        lines.append(f"{name or 'home':34}{weights}{len(row['axe']):5}{len(row['reaching']):10}{scores:>15}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
