"""Where the project is published is one setting; the metadata and the README of an index follow it."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import yaml

from scripts.published import Published, SettingError, published

GITHUB = Published("0.1.0", "https://github.com/a/b", "https://docs.example.org", on_index=True)
GITLAB = Published("0.1.0", "https://gitlab.com/a/b")
README = 'See [how](HOW.md), [a paper](https://example.org), [below](#b).\n\n<img src="docs/a.svg" alt="A">\n'


def checkout(root: Path, to: Path) -> Path:
    """A copy of what git knows of the checkout, and stray files in it."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    for name in filter(None, listing.stdout.split("\0")):
        if not name.startswith(("tests/", "notebooks/")) and (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, to / name)
    for folder in ("", "advprop", "advprop/data_files", "docs/models", "snippets", "scripts"):
        (to / folder / ".env").write_text("TOKEN=secret\n")
        (to / folder / "weights.pt").write_bytes(b"\0" * 1_000_000)
    return to


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the sdist, and of the wheel that is built from it, from a repository that is filled in."""
    clone, unpacked = checkout(root, tmp_path_factory.mktemp("clone")), tmp_path_factory.mktemp("sdist")
    pyproject = (clone / "pyproject.toml").read_text(encoding="utf-8")
    setting = '[tool.advprop]\nrepository = "https://github.com/a/b"\n'
    filled = re.sub(r"^\[tool\.advprop\]\n(.+\n)*", setting, pyproject, flags=re.MULTILINE)
    (clone / "pyproject.toml").write_text(filled, encoding="utf-8")
    build(clone, "sdist")
    (archive,) = (clone / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    files = {
        f"sdist/{path.relative_to(source)}": path.read_bytes() for path in source.rglob("*") if path.is_file()
    }
    build(source, "wheel")
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return files | {f"wheel/{name}": opened.read(name) for name in opened.namelist()}


def build(folder: Path, target: str) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "dist"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def metadata(built: dict[str, bytes]) -> Message:
    return message_from_bytes(
        next(text for name, text in built.items() if name.endswith(".dist-info/METADATA"))
    )


def test_stray_files_do_not_go_along(built: dict[str, bytes]) -> None:
    assert [name for name in built if name.endswith((".env", ".pt", ".pyc"))] == []
    assert sum(len(content) for name, content in built.items() if name.startswith("sdist/")) < 5_000_000
    folders = {name.split("/")[1] for name in built if name.startswith("sdist/") and name.count("/") > 1}
    assert folders == {"advprop", "docs", "scripts", "snippets"}


def test_every_file_of_the_package_goes_along(built: dict[str, bytes], root: Path) -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    ours = {name for name in listing.splitlines() if name.startswith("advprop/") and (root / name).is_file()}
    assert len(ours) > 100
    for kind in ("sdist", "wheel"):
        assert {name for name in ours if f"{kind}/{name}" not in built} == set()
    assert {"wheel/advprop/pages/advprop.md", "wheel/advprop/snippet_files/digits/predict.py"} <= built.keys()


def test_the_metadata_has_the_addresses_and_a_readme_that_works_elsewhere(built: dict[str, bytes]) -> None:
    found = metadata(built)
    assert dict(each.split(", ") for each in found.get_all("Project-URL", [])) == {
        "Source": "https://github.com/a/b",
        "Issues": "https://github.com/a/b/issues",
        "Changelog": "https://github.com/a/b/blob/main/CHANGELOG.md",
        "Paper": "https://arxiv.org/abs/1911.09665",
    }
    text = found.get_payload()
    assert isinstance(text, str)
    links = re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text)
    assert len(links) > 5
    assert [link for pair in links for link in pair if link and not link.startswith("https://")] == []
    assert '<img src="https://github.com/a/b/raw/main/docs/assets/advprop.svg"' in text
    assert {"Operating System :: Microsoft :: Windows", "Framework :: Jupyter"} <= {
        *found.get_all("Classifier", [])
    }


def test_links_of_the_readme_are_those_of_the_release() -> None:
    assert GITHUB.readme(README) == (
        "See [how](https://github.com/a/b/blob/v0.1.0/HOW.md), [a paper](https://example.org), [below](#b)."
        '\n\n<img src="https://github.com/a/b/raw/v0.1.0/docs/a.svg" alt="A">\n\n'
    )
    assert "https://gitlab.com/a/b/-/raw/main/docs/a.svg" in GITLAB.readme(README)


def test_without_a_repository_no_address_is_invented() -> None:
    nowhere = Published("0.1.0")
    assert nowhere.urls().keys() == {"Paper"}
    assert nowhere.readme(README) == "See how, [a paper](https://example.org), [below](#b).\n\n"
    assert (nowhere.requirement("[plot]"), nowhere.page("edit", "a"), nowhere.colab("a")) == ("", "", "")


def test_pip_takes_the_package_from_where_it_is() -> None:
    assert GITHUB.requirement("[plot]") == "advprop[plot]==0.1.0"
    assert GITHUB.requirement(pinned=False) == "advprop"
    assert GITLAB.requirement("[plot]") == "advprop[plot] @ git+https://gitlab.com/a/b@main"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('repository = "github.com/a/b"', "repository must begin with https://; got 'github.com/a/b'"),
        ('repo = "x"', r"\[tool.advprop\] has no repo"),
    ],
)
def test_a_setting_that_is_none_is_told(line: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project]\nversion = "1"\n[tool.advprop]\n{line}\n')
    with pytest.raises(SettingError, match=told):
        published(tmp_path)


def test_the_citation_names_the_same_repository(root: Path) -> None:
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation.get("repository-code", "") == published(root).repository


def test_a_workflow_says_where_it_publishes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPO_URL", "https://github.com/a/b")
    monkeypatch.setenv("SITE_URL", "http://127.0.0.1:8000/")
    found = published(root)
    assert (found.repository, found.site) == ("https://github.com/a/b", "http://127.0.0.1:8000")
    monkeypatch.setenv("REPO_URL", "github.com/a/b")
    with pytest.raises(SettingError, match=r"^REPO_URL must begin with https://; got 'github\.com/a/b'$"):
        published(root)
