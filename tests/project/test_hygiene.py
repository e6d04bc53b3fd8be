"""Bounds on size, and what must not be in the repository."""

import ast
import inspect
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import advprop

LONGEST_FUNCTION = 60
LONGEST_FILE = 250
# Classes in brackets, so that no pattern matches this file.
FORBIDDEN = re.compile(
    r"py[p]i\.org|python[h]osted|registry\.n[p]mjs|(deb|snapshot)\.d[e]bian\.org"
    r"|(?<![\w.)}-])/(work|farm|root|opt/py[p]i|home/\w+)/"
)


def tracked(root: Path) -> list[Path]:
    """Return the files that git knows and that are there."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [path for name in listing.stdout.split("\0") if name and (path := root / name).is_file()]


def text_of(path: Path) -> str:
    """Return the text of a file, or nothing where it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_function_is_long(root: Path) -> None:
    functions = [
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(root)}: {node.name}")
        for path in tracked(root)
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert functions
    assert [row for row in functions if row[0] > LONGEST_FUNCTION] == []


def test_no_file_of_the_package_is_long(root: Path) -> None:
    files = [path for path in tracked(root) if path.suffix == ".py" and path.is_relative_to(root / "advprop")]
    assert len(files) > 60
    lengths = {path.name: len(text_of(path).splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_files_of_tests_have_names_of_their_own(root: Path) -> None:
    names = Counter(path.name for path in (root / "tests").rglob("test_*.py"))
    assert len(names) > 60
    assert [name for name, count in names.items() if count > 1] == []


def test_no_machine_is_named(root: Path) -> None:
    hits = [
        f"{path.relative_to(root)}: {match.group()}"
        for path in tracked(root)
        for match in FORBIDDEN.finditer(text_of(path))
    ]
    assert hits == []


@pytest.mark.parametrize("words", ["see /{0}/main/x", "https://{1}.org/simple", "'/{2}/.cache'"])
def test_a_named_machine_is_found(words: str) -> None:
    assert FORBIDDEN.search(words.format("work", "pypi", "root"))


def test_relative_paths_name_no_machine() -> None:
    words = "tests/{0}/main, ../{1}/x, base/{0}/y, https://example.org/{2}/page/"
    assert not FORBIDDEN.search(words.format("work", "root", "home"))


@pytest.mark.parametrize("name", advprop.__all__)
def test_public_names_have_docstrings(name: str) -> None:
    public = getattr(advprop, name)
    assert not (inspect.isclass(public) or inspect.isroutine(public)) or inspect.getdoc(public)


def test_lock_has_what_the_project_asks_for(root: Path) -> None:
    pyproject = tomllib.loads(text_of(root / "pyproject.toml"))
    optional, groups = pyproject["project"]["optional-dependencies"], pyproject["dependency-groups"]
    parts = [pyproject["project"]["dependencies"], *optional.values(), *groups.values()]
    wanted = [entry for part in parts for entry in part if isinstance(entry, str)]
    locked = set(re.findall(r"^([a-z0-9][\w.-]*)==", text_of(root / "requirements.lock"), flags=re.MULTILINE))
    missing = {name for entry in wanted if (name := re.split(r"[^\w.-]", entry.lower())[0]) not in locked}
    assert missing == set(), "make lock"


def test_lock_is_hashed_and_names_no_place(root: Path) -> None:
    lock = text_of(root / "requirements.lock")
    packages = re.split(r"^(?=[a-z0-9][\w.-]*==)", lock, flags=re.MULTILINE)[1:]
    assert len(packages) > 50
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in lock
    assert not re.search(r"^-|--(default-|extra-)?index|--find-links", lock, flags=re.MULTILINE)
