"""What pages tell search engines, social networks and readers of feeds."""

import io
import json
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from PIL import Image, ImageFont

from docs.hooks import tree
from docs.hooks.for_machines import briefly, feed, releases
from docs.hooks.head import Data, Told, structured_data
from docs.hooks.social_card import FONTS, SIZE, social_card
from scripts.published import Published

HOME = "https://docs.example.org/a/"
CHANGELOG = """# Changelog

## [Unreleased]

- Nobody has this yet.

## [0.2.0] - 2026-12-01

### Added

- `eps` < 1 & more.

## [0.1.0] - 2026-11-01

- The first.
"""


def told(path: str, title: str = "A & B", home: str = HOME) -> Told:
    return Told(
        path, title, "About it.", f"{home}{path.removesuffix('.md')}/" if home else "", home, "AdvProp"
    )


def data_of(site: tree.Site, path: str, home: str = HOME) -> Data:
    return structured_data(told(path, home=home), site.facts, Published("0.1.0", "https://github.com/a/b"))


@pytest.fixture(scope="module")
def site() -> tree.Site:
    """The pages."""
    return tree.Site()


def test_a_description_is_of_whole_sentences() -> None:
    assert briefly("") == ""
    assert briefly("One. Two? Three") == "One. Two? Three"
    assert briefly(f"One {'x' * 160}. Two.") == f"One {'x' * 160}."
    assert briefly(f"One. Two. {'x' * 160}.") == "One. Two."


def test_each_kind_of_page_says_what_it_is(site: tree.Site) -> None:
    kinds = {
        "index.md": "WebSite",
        "models/advprop.md": "Dataset",
        "models/digits.md": "TechArticle",
        "models/tf_efficientnet_b0_ap.md": "SoftwareSourceCode",
        "results.md": "Dataset",
        "cost.md": "Dataset",
        "guides/export.md": "TechArticle",
        "notebooks/03_train.ipynb": ["TechArticle", "LearningResource"],
    }
    assert {path: data_of(site, path)["@type"] for path in kinds} == kinds
    assert all(data_of(site, path)["description"] == "About it." for path in kinds)


def test_a_model_and_the_site_name_their_code(site: tree.Site) -> None:
    model = data_of(site, "models/tf_efficientnet_b0_ap.md")
    assert model["alternateName"] == "tf_efficientnet_b0.ap_in1k"
    assert model["citation"]["url"] == "https://arxiv.org/abs/1911.09665"
    home = data_of(site, "index.md")
    assert home["about"]["codeRepository"] == "https://github.com/a/b"
    assert home["potentialAction"]["target"]["urlTemplate"] == f"{HOME}?q={{words}}"


def test_without_an_address_nothing_names_one(site: tree.Site) -> None:
    assert "url" not in data_of(site, "guides/export.md", home="")
    assert "potentialAction" not in data_of(site, "index.md", home="")
    tags = told("guides/export.md", home="").tags({}, has_feed=True)
    assert "og:" not in tags
    assert "feed.xml" not in tags


def test_a_page_names_its_card_its_feed_and_its_data() -> None:
    head = BeautifulSoup(told("guides/export.md").tags({"name": "</script>"}, has_feed=True), "html.parser")
    card = {tag["property"]: tag["content"] for tag in head.select("meta[property]")}
    assert card["og:image"] == f"{HOME}guides/export/card.png"
    assert (card["og:title"], card["og:type"]) == ("A & B", "article")
    assert head.select_one('link[type="application/atom+xml"]')["href"] == f"{HOME}feed.xml"
    assert json.loads(head.find("script").string) == {"name": "</script>"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [("notebooks/03_train.ipynb", "Tutorial"), ("guides/index.md", ""), ("reference/tasks.md", "Reference")],
)
def test_a_card_says_of_what_kind_its_page_is(path: str, kind: str) -> None:
    assert told(path).kind == kind


def test_a_card_is_a_light_picture_with_all_of_a_short_text() -> None:
    short, long = (social_card("Title", "word " * count, "Guide") for count in (8, 400))
    for content in (short, long):
        assert len(content) < 60_000
        assert Image.open(io.BytesIO(content)).size == SIZE
    below = (0, 530, SIZE[0], 600)  # four lines end above it
    assert len(Image.open(io.BytesIO(long)).crop(below).getcolors()) == 1
    assert short != social_card("Title", "word " * 9, "Guide")


@pytest.mark.parametrize("title", ["tf_efficientnetv2_xl.in21k_ft_in1k_with_advprop", "A long title " * 8])
def test_a_long_title_stays_on_its_card(title: str) -> None:
    card = Image.open(io.BytesIO(social_card(title, "", ""))).convert("RGB")
    for beside in ((1125, 150, SIZE[0], 600), (0, 380, SIZE[0], 600)):  # right of two lines, and below
        assert len(card.crop(beside).getcolors()) == 1


def test_the_fonts_of_cards_have_every_letter_of_every_page(site: tree.Site) -> None:
    fonts = [ImageFont.truetype(path, 40) for path in FONTS.glob("*.woff")]
    assert len(fonts) == 2
    paths = [
        str(path.relative_to(tree.DOCS)) for path in tree.DOCS.rglob("*.md") if "templates" not in path.parts
    ]
    paths += [*site.collection_pages(), *tree.notebook_pages()]
    words = "".join(site.about(path) for path in paths)
    assert len(words) > 1000
    assert {
        letter for font in fonts for letter in words if letter != " " and is_missing(letter, font)
    } == set()
    assert is_missing("\u03b5", fonts[0])


def is_missing(letter: str, font: ImageFont.FreeTypeFont) -> bool:
    """Whether a font shows a letter as it shows those that no font has."""
    return bytes(font.getmask(letter)) == bytes(font.getmask("\uffff"))


def test_the_feed_has_the_releases_and_nothing_else() -> None:
    names = {"a": "http://www.w3.org/2005/Atom"}
    root = ElementTree.fromstring(feed("AdvProp", releases(CHANGELOG), HOME))
    assert [each.text for each in root.findall("a:entry/a:title", names)] == [
        "AdvProp 0.2.0",
        "AdvProp 0.1.0",
    ]
    assert root.find("a:updated", names).text == "2026-12-01T00:00:00Z"
    newest = root.find("a:entry/a:content", names).text
    assert "<code>eps</code> &lt; 1 &amp; more" in newest
    assert "The first" not in newest
    assert releases("# Changelog\n\n## [Unreleased]\n\n- A\n") == []
