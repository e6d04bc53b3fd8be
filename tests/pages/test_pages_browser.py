"""The built site as a reader meets it: in a browser, light and dark, on a screen and on a phone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from advprop.cards.model_index import load_model_index
from advprop.cards.timm_results import load_results
from docs.hooks import calculator, measured
from docs.hooks.facts import Facts, verified
from scripts.audit import (
    MODELS,
    PAGES,
    address_of,
    axe_findings,
    first_visit,
    launched,
    reaching,
    served,
)
from tests.site_tools import built_site, code_blocks, needed_chromium, page_path, soup_of

KIB = 1024

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served, with the headers that it asks for."""
    with served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; without it these tests are skipped, and fail in CI."""
    with launched(needed_chromium()) as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    """What the reader's system prefers."""
    return str(request.param)


# Each theme and each width once for every change; at night each with each.
READERS = [
    ("light", 1440),
    ("dark", 390),
    pytest.param(("dark", 1440), marks=pytest.mark.nightly),
    pytest.param(("light", 390), marks=pytest.mark.nightly),
]


@pytest.fixture(params=READERS, ids=lambda reader: "-".join(map(str, reader)))
def context(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    """A fresh reader."""
    scheme, width = request.param
    size = {"width": width, "height": 900}
    with browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce") as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The collection's page on a wide screen."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as opened:
        shown = opened.new_page()
        shown.goto(address + "models/advprop/")
        yield shown


CONTRAST = (Path(__file__).parents[1] / "contrast.js").read_text(encoding="utf-8")
STRUCTURE = """() => ({
    lang: document.documentElement.lang,
    title: document.title,
    h1: document.querySelectorAll("h1").length,
    noAlt: [...document.querySelectorAll("img:not([alt]), [role=img]:not([aria-label], [aria-labelledby])")]
        .map((tag) => tag.outerHTML.slice(0, 80)),
    unnamed: [...document.querySelectorAll("article :is(button, a, input, select):not([aria-hidden=true])")]
        .filter((tag) => !(tag.textContent.trim() || tag.ariaLabel || tag.title || tag.labels?.length))
        .map((tag) => tag.outerHTML.slice(0, 80)),
    sameIds: [...document.querySelectorAll("[id]")].map((tag) => tag.id)
        .filter((id, at, all) => all.indexOf(id) !== at),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
})"""


def test_pages_are_sound(context: BrowserContext, address: str) -> None:
    """No other host, no error, nothing missing; legible, named, and no wider than the screen."""
    assert [f"{name}: {fault}" for name in PAGES for fault in visit(context, address, name)] == []


def visit(context: BrowserContext, address: str, name: str) -> list[str]:
    """What is wrong with a page."""
    faults: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("response", lambda answer: faults.extend(_bad(answer.status, answer.url)))
    page.on("request", lambda asked: faults.extend(_foreign(asked.url, address)))
    page.goto(address_of(address, name), wait_until="networkidle")
    found = page.evaluate(STRUCTURE)
    titled = found["title"] != "" and found["lang"] == "en" and found["h1"] == 1
    if not titled or found["wide"] or found["noAlt"] or found["unnamed"] or found["sameIds"]:
        faults.append(str(found))
    faults += page.evaluate(CONTRAST)
    page.close()
    return faults


def _bad(status: int, url: str) -> list[str]:
    return [f"{status} for {url}"] if status >= 400 else []


def _foreign(url: str, address: str) -> list[str]:
    own = url.startswith(("data:", "blob:")) or urlsplit(url).netloc == urlsplit(address).netloc
    return [] if own else [f"asks {url}"]


def test_nothing_lies_over_the_table_of_contents(browser: Browser, address: str, site: Path) -> None:
    pages = sorted(path.parent.relative_to(site).as_posix() for path in site.rglob("index.html"))
    assert len(pages) > len(PAGES)
    faults = []
    with browser.new_context(reduced_motion="reduce") as opened:
        page = opened.new_page()
        for name in pages:
            page.goto(address_of(address, name.removeprefix(".")), wait_until="load")
            faults += [f"{name} at {each}" for each in reaching(page)]
    assert faults == []


def test_contrast_is_measured(page: Page) -> None:
    """The measure itself: grey on white is found, and told with its ratio."""
    assert page.evaluate(CONTRAST) == []
    page.evaluate("document.querySelector('article p').style.color = '#999'")
    [fault] = page.evaluate(CONTRAST)[:1]
    assert "2.8" in fault
    page.evaluate("document.querySelector('article p').style = 'opacity: 0.5'")
    assert page.evaluate(CONTRAST) != []


def test_pages_are_light(site: Path) -> None:
    weights = {path.relative_to(site): path.stat().st_size for path in site.rglob("index.html")}
    assert {path: weight for path, weight in weights.items() if weight > 60_000} == {}


@pytest.mark.parametrize("scripts", [True, False])
def test_the_menu_of_a_phone_has_the_contents_of_the_page(
    scripts: bool, browser: Browser, address: str
) -> None:
    phone: ViewportSize = {"width": 390, "height": 844}
    with browser.new_context(viewport=phone, java_script_enabled=scripts, reduced_motion="reduce") as opened:
        page = opened.new_page()
        page.goto(address_of(address, "guides/export"), wait_until="load")
        page.locator(".md-header__button[for=__drawer]").click()
        menu = page.locator(".md-nav--primary")
        if not scripts:  # the page itself is in the menu, and leads nowhere
            assert not menu.locator("[for=__toc]").first.is_visible()
            assert menu.locator("a.md-nav__link--active[href='./']").is_visible()
            return
        menu.locator(".md-nav__link[for=__toc]").click()
        first = menu.locator(".md-nav--secondary a").first
        first.click()
        page.wait_for_url(f"**/{first.get_attribute('href')}")


HEAVY = ["", "models/advprop", "reference/tasks", "tutorials", "notebooks/02_from_scratch"]


@pytest.mark.parametrize("name", HEAVY)
def test_a_first_visit_is_light(name: str, browser: Browser, address: str) -> None:
    """All that a page loads, in bytes before compression; of the search nothing is among it."""
    weights = first_visit(browser, address_of(address, name))
    assert not [each for each in weights if "search" in each]
    pictures = 80 if name == "tutorials" else 0  # of the first tutorials, which are in view
    assert 0 < sum(weights.values()) < (350 + pictures) * KIB, weights


def names(page: Page) -> list[str]:
    """The models of the table's visible rows."""
    return page.locator("[data-table] tbody tr:visible th a").all_inner_texts()


def test_the_table_sorts(page: Page) -> None:
    head = page.locator("[data-table] thead th", has_text="Params")
    assert names(page) == MODELS
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page) == MODELS
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page) == MODELS[::-1]
    page.locator("[data-table] thead button", has_text="\u2011R").click()
    assert head.get_attribute("aria-sort") is None
    top1 = load_results().top1("ap_in1k", "r")
    assert names(page) == sorted(MODELS, key=lambda name: top1[name.split("_")[2]])


def test_the_table_filters(page: Page) -> None:
    box = page.get_by_label("Filter")
    box.fill("b4")
    assert names(page) == [name for name in MODELS if "b4" in name]
    assert page.locator("[data-table] [role=status]").inner_text() == f"1 of {len(MODELS)} models"
    box.fill("no such model")
    assert names(page) == []
    box.fill("")
    assert names(page) == MODELS


def test_the_table_sorts_on_a_phone(browser: Browser, address: str) -> None:
    with browser.new_context(viewport={"width": 390, "height": 800}) as opened:
        page = opened.new_page()
        page.goto(address + "models/advprop/")
        assert not page.locator("[data-table] thead").is_visible()
        page.get_by_label("Sort by").select_option(label="File \u2193")
        assert names(page) == MODELS[::-1]
        page.get_by_label("Sort by").select_option(label="ImageNet-R \u2193")
        assert names(page) != MODELS[::-1]
        page.get_by_label("Sort by").select_option(label="as it comes")
        assert names(page) == MODELS
        cell = page.locator("[data-table] tbody td").first
        assert cell.evaluate("tag => getComputedStyle(tag, '::before').content") == '"Pixels"'


def test_the_table_is_whole_without_javascript(browser: Browser, address: str) -> None:
    with browser.new_context(java_script_enabled=False) as opened:
        page = opened.new_page()
        page.goto(address + "models/advprop/")
        assert names(page) == MODELS
        assert page.get_by_label("Filter").count() == 0


@pytest.fixture(scope="module")
def rows() -> dict[str, calculator.Row]:
    """What training takes, by the name of the network."""
    index = load_model_index()
    models = Facts(index, load_results(), verified(index)).members("AdvProp")
    return {row.network.name: row for row in calculator.prices(models, measured.record("benchmark"))}


def estimate(page: Page, **choices: str) -> list[str]:
    """Images/s, days and GPU hours that the calculator shows, or else its words."""
    for name, value in choices.items():
        control = page.locator(f"[data-calculator] [name={name}]")
        if control.evaluate("tag => tag.tagName") == "SELECT":
            control.select_option(value)
        elif control.is_enabled():
            control.fill(value)
    shown = page.locator("[data-calculator] [role=status]")
    return shown.locator("dd:visible").all_inner_texts() or [shown.inner_text().strip()]


def test_the_calculator_reckons_as_python_does(
    browser: Browser, address: str, rows: dict[str, calculator.Row]
) -> None:
    choices = [("EfficientNet-B0", "advprop", 5, 1), ("EfficientNet-B7", "advprop", 3, 8)]
    choices += [("ResNet-50", "fast", 5, 8), ("EfficientNet-B8", "standard", 5, 1024)]
    choices += [("ResNet-50", "advprop", 10, 1), ("EfficientNet-B4", "fine-grained", 1, 2)]
    with browser.new_context() as opened:
        page = opened.new_page()
        page.goto(address + "cost/")
        for model, method, steps, gpus in choices:
            row = rows[model]
            shown = estimate(page, model=model, method=method, steps=str(steps), gpus=str(gpus))
            cost = row.cost(method, steps)
            assert cost
            found = calculator.run(row.rate / cost, row.network.epochs[method], gpus)
            told = (found.images_per_second, found.days, found.gpu_hours)
            assert shown == [calculator.figure(each) for each in told], (model, method, steps, gpus)
        # one of one's own: 2000 images/s in standard training
        own = estimate(page, model="ResNet-50", method="standard", gpus="1", rate="2000")
        days = calculator.run(2000, 105).days
        assert own[:2] == ["2,000", calculator.figure(days)]


def test_the_calculator_shows_no_number_that_nothing_was_measured_for(browser: Browser, address: str) -> None:
    with browser.new_context() as opened:
        page = opened.new_page()
        page.goto(address + "cost/")
        estimate(page, gpus="1", rate="100")
        [told] = estimate(page, method="fine-grained", steps="5")
        assert told == "Fine-grained with K = 5 was not measured on a GPU. Only K = 1 was."
        assert len(estimate(page, method="fine-grained", steps="1")) == 3
        for wrong in ("0", "1.5", ""):
            assert estimate(page, gpus=wrong) == ["GPUs: enter a whole number from 1 to 10,000."]
        assert len(estimate(page, gpus="10000")) == 3


def test_without_javascript_the_calculator_is_a_table(
    browser: Browser, address: str, rows: dict[str, calculator.Row]
) -> None:
    with browser.new_context(java_script_enabled=False) as opened:
        page = opened.new_page()
        page.goto(address + "cost/")
        assert not page.get_by_label("GPUs").is_visible()
        table = page.locator("[data-calculator] tbody tr")
        assert table.locator("th").all_inner_texts() == list(rows)
        run = rows["EfficientNet-B4"].run("advprop", 5)
        assert run
        assert calculator.figure(run.days) in table.nth(5).locator("td").all_inner_texts()


def test_figures_follow_the_theme(page: Page) -> None:
    colour = "getComputedStyle(document.querySelector('figure.drawn text')).fill"
    light = page.evaluate(colour)
    page.locator("label[title='Switch to the dark theme']").click()
    assert page.evaluate(colour) != light


def test_on_a_phone_a_figure_keeps_its_size_and_is_scrolled(browser: Browser, address: str) -> None:
    with browser.new_context(viewport={"width": 390, "height": 900}) as opened:
        shown = opened.new_page()
        shown.goto(address + "notebooks/01_pretrained/")
        widths = (
            """figure => [figure.scrollWidth, figure.clientWidth, document.documentElement.scrollWidth]"""
        )
        whole, seen, page_width = shown.locator("figure.output:has(svg)").first.evaluate(widths)
        assert whole > 600 > 390 > seen
        assert page_width == 390
        photographs = shown.locator("figure.output svg picture > img").first
        photographs.scroll_into_view_if_needed()
        photographs.evaluate("image => image.decode()")
        assert photographs.evaluate("image => image.currentSrc").endswith(".avif")
        assert photographs.evaluate("image => getComputedStyle(image).imageRendering") == "auto"


def test_code_is_copied_as_it_stands(browser: Browser, address: str, site: Path) -> None:
    name = f"models/{MODELS[0]}"
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as opened:
        page = opened.new_page()
        page.goto(f"{address}{name}/", wait_until="networkidle")
        page.locator(".highlight:visible").first.hover()
        page.locator("[data-md-type=copy]:visible").first.click()
        copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == code_blocks(name, soup_of(page_path(site, name)))[0].code.strip()


def test_search_finds(page: Page) -> None:
    box = page.get_by_role("textbox", name="Search")
    with page.expect_response("**/search/search_index.json"):
        box.click()
    box.press_sequentially("remove_aux_norm")
    found = page.locator(".md-search-result__link").first
    found.wait_for()
    assert "reference/norms" in str(found.get_attribute("href"))


def test_a_link_to_a_search_finds(page: Page, address: str) -> None:
    page.goto(f"{address}?q=remove_aux_norm")
    found = page.locator(".md-search-result__link").first
    found.wait_for()
    assert "reference/norms" in str(found.get_attribute("href"))


def test_no_script_but_the_sites_own_runs(page: Page) -> None:
    """The policy by itself, as on a host that sends no headers, and as a header."""
    assert page.evaluate("document.querySelector('meta[http-equiv=Content-Security-Policy]') !== null")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=none.png onerror=foreign=true>')")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'foreign = true'}))"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("typeof foreign") == "undefined"
    assert sum("Content Security Policy" in each for each in refused) >= 2


def test_found_words_are_legible(browser: Browser, address: str, theme: str) -> None:
    with browser.new_context(color_scheme=theme, viewport={"width": 1440, "height": 900}) as opened:
        page = opened.new_page()
        page.goto(f"{address}?q=eps")
        page.locator(".md-search-result mark").first.wait_for()
        page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
        assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize(
    ("scheme", "width", "pages"),
    [
        ("light", 1280, (*PAGES, "models/photo", "404.html")),
        ("dark", 390, HEAVY),
        pytest.param("dark", 390, PAGES, marks=pytest.mark.nightly),
    ],
)
def test_axe_finds_nothing(
    scheme: Literal["light", "dark"], width: int, pages: Sequence[str], browser: Browser, address: str
) -> None:
    found = []
    with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}) as opened:
        page = opened.new_page()
        for name in pages:
            page.goto(address + name, wait_until="networkidle")
            found += [f"{name}: {each}" for each in axe_findings(page)]
    assert found == []
