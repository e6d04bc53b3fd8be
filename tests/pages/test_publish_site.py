"""The site as it is published: a push to a bare repository, and what a static server gives of it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.publish_site import version_of
from tests.site_tools import ROOT, copied_checkout, soup_of

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
SITE = "https://docs.example.org/advprop/"
SETTINGS = {"SITE_URL": SITE, "REPO_URL": "https://github.com/a/b"}


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", *author, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The branch of the site after a push to main and a release."""
    folder = tmp_path_factory.mktemp("published")
    checkout = copied_checkout(folder / "checkout")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, checkout / "notebooks")
    shutil.copytree(ROOT / ".cache" / "notebooks", checkout / ".cache" / "notebooks")
    git(folder, "init", "--quiet", "--bare", "origin.git")
    git(checkout, "init", "--quiet", "--initial-branch", "main")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "All of it")
    git(checkout, "remote", "add", "origin", "../origin.git")
    names = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
    names |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in names.items()}
    for ref in ("main", "v0.1.0"):
        done = subprocess.run(
            [sys.executable, "-m", "scripts.publish_site", "--push", ref],
            cwd=checkout,
            env=os.environ | SETTINGS | names,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    git(folder, "clone", "--quiet", "--branch", "gh-pages", "origin.git", "site")
    return folder / "site"


def test_versions_stand_beside_each_other(published: Path) -> None:
    assert {path.name for path in published.iterdir() if path.is_dir()} == {".git", "0.1", "dev", "latest"}
    assert "latest/" in (published / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["dev", "0.1"])
def test_addresses_are_those_of_the_version(version: str, published: Path) -> None:
    page = soup_of(published / version / "models" / "advprop" / "index.html")
    home = f"{SITE}{version}/"
    assert page.select_one("link[rel=canonical]")["href"] == f"{home}models/advprop/"
    assert page.select_one("link[rel=search]")["href"] == f"{home}opensearch.xml"
    config = page.select_one("script#__config").get_text()
    assert '"provider": "mike"' in config
    sitemap = ElementTree.parse(published / version / "sitemap.xml").iter()
    addresses = [each.text for each in sitemap if each.tag.endswith("}loc")]
    assert f"{home}models/advprop/" in addresses
    assert all(address.startswith(home) for address in addresses)
    card = page.select_one('meta[property="og:image"]')["content"]
    assert card == f"{home}models/advprop/card.png"
    assert (published / version / card.removeprefix(home)).is_file()
    search = (published / version / "opensearch.xml").read_text(encoding="utf-8")
    assert f'template="{home}?q={{searchTerms}}"' in search
    listed = re.findall(r"\]\((\S+)\)", (published / version / "llms.txt").read_text(encoding="utf-8"))
    assert all((published / version / each.removeprefix(home)).is_file() for each in listed)


def test_pages_of_files_can_be_edited(published: Path) -> None:
    def edited(page: str) -> list[str]:
        links = soup_of(published / "dev" / page / "index.html").select("a[rel=edit]")
        return [str(link["href"]) for link in links]

    assert edited("guides/export") == ["https://github.com/a/b/edit/main/docs/guides/export.md"]
    assert edited("notebooks/03_train") == ["https://github.com/a/b/edit/main/notebooks/03_train.ipynb"]
    assert edited("models/tf_efficientnet_b0_ap") == []  # made from a template


def test_tutorials_open_on_colab(published: Path) -> None:
    page = (published / "dev" / "notebooks" / "03_train" / "index.html").read_text(encoding="utf-8")
    assert "https://colab.research.google.com/github/a/b/blob/main/notebooks/03_train.ipynb" in page


def test_pages_with_links_to_a_repository_are_light(published: Path) -> None:
    weights = {path.parent.name: path.stat().st_size for path in (published / "dev").rglob("index.html")}
    assert {name: weight for name, weight in weights.items() if weight > 60_000} == {}


def test_a_page_is_reached_by_the_address_of_a_file(published: Path) -> None:
    moved = published / "dev" / "models" / "advprop.html"
    target = soup_of(moved).select_one("a")["href"]
    assert (moved.parent / target / "index.html").is_file()


def test_a_version_is_named_after_its_tag() -> None:
    assert version_of("v0.1.3") == ("0.1", "latest")
    assert version_of("v1.0.0rc1") == version_of("main") == ("dev",)


def test_a_late_correction_of_an_old_release_is_not_the_latest() -> None:
    assert version_of("v0.9.4", ["dev", "0.9", "0.10"]) == ("0.9",)
    assert version_of("v0.10.1", ["dev", "0.9", "0.10"]) == ("0.10", "latest")
