"""The README: its example runs, its picture is the site's, its map is true; the version is one everywhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import advprop


@pytest.fixture
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def test_the_example_is_the_quick_start_and_runs(readme: str, root: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    assert example == (root / "snippets" / "quickstart.py").read_text(encoding="utf-8")
    command = [sys.executable, "-W", "error", "-c", example]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    accuracy = re.search(r"(\d+\.\d)% of \d+ test digits", output)
    assert accuracy is not None, output
    assert float(accuracy[1]) > 80


def test_the_map_names_what_there_is(readme: str, root: Path) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", readme, flags=re.MULTILINE)
    assert len(rows) > 5
    missing = [place for place, _ in rows if not (root / place).exists()]
    assert missing == []
    named = re.findall(r"`([\w/]+(?:/|\.py))`", readme)
    places = (root, root / "advprop", root / "tests")
    assert "tasks/advprop.py" in named
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
    listing = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    folders = {name.partition("/")[0] for name in listing.splitlines() if "/" in name and name[0] != "."}
    assert folders <= {place.rstrip("/") for place, _ in rows}


def test_every_extra_is_listed(readme: str, root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = re.findall(r"^- ((?:`\w+`(?:, )?)+): ", readme, flags=re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(listed))) == project["optional-dependencies"].keys()


def test_links_lead_somewhere(readme: str, root: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", readme)
    local = [link for pair in links for link in pair if link and "://" not in link]
    assert "docs/assets/advprop.svg" in local
    assert [link for link in local if not (root / link).exists()] == []


def test_the_picture_has_the_colours_of_the_site(root: Path) -> None:
    picture = (root / "docs" / "assets" / "advprop.svg").read_text(encoding="utf-8")
    css = (root / "docs" / "assets" / "site.css").read_text(encoding="utf-8")
    for scheme in (":root {", "prefers-color-scheme: dark"):
        block = picture.partition(scheme)[2].partition("</style>" if "dark" in scheme else "@media")[0]
        of_site = css.partition('"slate"] {' if "dark" in scheme else ":root {")[2].partition("}")[0]
        colours = dict(re.findall(r"(--ap-[\w-]+): (#\w+);", block))
        ground = colours.pop("--ap-ground")
        assert len(colours) == 8
        assert colours.items() <= dict(re.findall(r"(--ap-[\w-]+): (#\w+);", of_site)).items()
        assert f"--md-default-bg-color: {ground};" in of_site or ground == "#fff"


def test_the_version_is_one(root: Path) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert advprop.__version__ == version
    assert citation["version"] == version
    assert citation["preferred-citation"]["year"] == 2020
    assert "## [Unreleased]" in (root / "CHANGELOG.md").read_text(encoding="utf-8")
