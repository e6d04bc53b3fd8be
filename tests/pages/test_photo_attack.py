"""The adversarial photograph of the home page: what the page says of it, and the files themselves."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from docs.hooks import measured
from docs.hooks.rendering import environment
from scripts import photo_attack
from tests.photos import photo_model
from tests.site_tools import ROOT

FOUND = measured.record("photo_attack")
LIMIT = 60_000  # bytes, all pictures together


@pytest.fixture(scope="module")
def figure() -> BeautifulSoup:
    """The figure as the home page has it, before Markdown."""
    html = environment(measured=measured).get_template("photo_attack.html").render()
    return BeautifulSoup(html, "html.parser")


def test_the_page_opens_with_the_photograph() -> None:
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert page.index("photo_attack.html") < page.index("## ") < page.index("advprop_picture()")


def test_the_figure_has_the_answers_of_the_record(figure: BeautifulSoup) -> None:
    shown = [tag.get_text() for tag in figure.select("strong")]
    clean, adversarial = (FOUND["stored"][name][0] for name in ("clean", "adversarial"))
    assert shown == [
        f"{clean['name']} {100 * clean['probability']:.1f}%",
        f"{adversarial['name']} {100 * adversarial['probability']:.1f}%",
        f"magnified {FOUND['magnified']} times",
    ]
    assert clean["name"] == FOUND["label"]
    assert adversarial["name"] == "loupe"  # a word that the caption explains
    assert min(clean["probability"], adversarial["probability"]) > 0.9
    text = " ".join(figure.get_text().split())
    photograph = FOUND["photograph"]
    for said in (photograph["author"], photograph["license"], FOUND["model"], FOUND["eps"], FOUND["date"]):
        assert said in text
    assert f"at most {FOUND['largest_change']} of 255" in text


def test_the_pictures_are_small_and_described(figure: BeautifulSoup) -> None:
    images = figure.select("img")
    files = [ROOT / "docs" / str(image["src"]) for image in images]
    assert sorted(files) == sorted(photo_attack.PICTURES.iterdir())
    assert sum(file.stat().st_size for file in files) < LIMIT
    for image, file in zip(images, files, strict=True):
        sides = (int(str(image["height"])), int(str(image["width"])))
        assert tuple(photo_attack.stored(file).shape[2:]) == sides == (224, 224)
        assert "cup" in str(image["alt"])


def test_the_stored_pictures_are_read_as_recorded() -> None:
    photo_model()
    network = photo_attack.network()
    for name, recorded in FOUND["stored"].items():
        pixels = photo_attack.stored(photo_attack.PICTURES / f"{name}.avif")
        best = photo_attack.answers(network, pixels)[0]
        assert best["name"] == recorded[0]["name"]
        assert best["probability"] == pytest.approx(recorded[0]["probability"], abs=0.01)


@pytest.mark.nightly
@pytest.mark.slow
def test_the_script_finds_the_same_again(tmp_path: Path) -> None:
    photo_model()
    found = photo_attack.measure(tmp_path)
    for key in ("photograph", "label", "eps", "steps", "largest_change", "magnified", "pixels"):
        assert found[key] == FOUND[key]
    for kind in ("uncompressed", "stored"):
        for name, recorded in FOUND[kind].items():
            best = found[kind][name][0]
            assert best["name"] == recorded[0]["name"]
            assert best["probability"] == pytest.approx(recorded[0]["probability"], abs=0.05)
