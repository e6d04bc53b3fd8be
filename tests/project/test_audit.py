"""What `make audit` measures, on a small site: weights before compression, faults that are there."""

import gzip
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from scripts import audit
from scripts.audit import CompressingHandler, served
from tests.site_tools import needed_chromium

PAGE = "<!doctype html><html lang='en'><head><title>A</title></head><body><p>{}</p></body></html>"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages and a picture, one of them too wide."""
    for name, words in (("", "word " * 1000), ("wide", "<img src='../a.png' width=5000>")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "index.html").write_text(PAGE.format(words), encoding="utf-8")
    (tmp_path / "a.png").write_bytes(bytes(300))
    (tmp_path / "_headers").write_text("/*\n  X-Told: yes\n", encoding="utf-8")
    return tmp_path


def test_text_is_served_compressed_and_pictures_as_they_are(site: Path) -> None:
    with served(site, CompressingHandler) as address:
        with urllib.request.urlopen(address) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["X-Told"] == "yes"
            assert gzip.decompress(answer.read()) == (site / "index.html").read_bytes()
        with urllib.request.urlopen(f"{address}a.png") as answer:
            assert answer.headers["Content-Encoding"] is None
            assert answer.read() == bytes(300)
        with urllib.request.urlopen(f"{address}wide") as answer:
            assert answer.url == f"{address}wide/"


def test_a_page_is_weighed_and_its_faults_are_found(site: Path) -> None:
    program = needed_chromium()
    with served(site, CompressingHandler) as address, audit.launched(program) as browser:
        light, wide = (audit.measure(browser, address, name, site) for name in ("", "wide"))
    assert light["first_visit"] == light["html"] == (site / "index.html").stat().st_size
    assert wide["first_visit"] == wide["html"] + 300
    assert any("image-alt" in each for each in wide["axe"])
    assert not any("image-alt" in each for each in light["axe"])


def test_what_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needed_chromium()
    assert audit.main([str(tmp_path), "--record", str(tmp_path / "a.json")]) == 2
    assert f"there is no site in {tmp_path}; build it: make site" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_lighthouse_is_optional_and_asked_for_two_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert audit.lighthouse("http://a/", "chromium") == {"performance": None, "accessibility": None}
    told = {"categories": {"performance": {"score": 0.987}, "accessibility": {"score": 1}}}
    program = tmp_path / "lighthouse"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    assert audit.lighthouse("http://a/", "chromium") == {"performance": 99, "accessibility": 100}


def test_a_lighthouse_that_fails_is_told_and_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed_chromium()

    def failing(url: str, program: str) -> dict[str, int | None]:
        raise subprocess.CalledProcessError(1, "lighthouse", stderr="no browser\n")

    monkeypatch.setattr(audit, "PAGES", [""])
    monkeypatch.setattr(audit, "lighthouse", failing)
    assert audit.main([str(site), "--record", str(tmp_path / "a.json")]) == 1
    assert "error: Lighthouse failed: no browser" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_the_table_has_a_line_for_each_page() -> None:
    row = {
        "html": 2048,
        "first_visit": 3072,
        "axe": ["a"],
        "reaching": [],
        "performance": 98,
        "accessibility": 100,
    }
    shown = audit.table({"": row, "guides": row | {"performance": None, "accessibility": None}}).splitlines()
    assert shown[1].split() == ["home", "2", "3", "1", "0", "98,", "100"]
    assert shown[2].endswith("not installed")
