"""The site by another generator: what a user is told when there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import build_site
from tests.site_tools import ROOT


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A generator of another name that fails as a program."""
    monkeypatch.setattr(build_site, "INSTALLED", tmp_path)
    package = tmp_path / "properdocs" / "properdocs"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(r'print("\x1b[33mWarning:\x1b[0m no page"); raise RuntimeError("x")')
    return tmp_path


def test_warnings_of_a_generator_are_shown_without_traceback(fake: Path) -> None:
    with pytest.raises(build_site.EngineError) as caught:
        build_site.build("properdocs", fake / "site")
    assert str(caught.value) == "Warning: no page"


def test_a_generator_that_cannot_be_installed_is_told(
    fake: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("UV_OFFLINE", "1"), ("UV_CACHE_DIR", str(fake / "empty"))):
        monkeypatch.setenv(name, value)
    with pytest.raises(build_site.EngineError, match=r"cannot install zensical>=.*make site$"):
        build_site.install("zensical")
    assert "zensical" in capfd.readouterr().err
    assert build_site.installed_version("zensical") == ""


@pytest.mark.parametrize("module", ["build_site", "compare_sites"])
def test_an_unknown_generator_is_told_with_those_that_there_are(module: str) -> None:
    command = [
        sys.executable,
        "-m",
        f"scripts.{module}",
        "hugo",
        *(["site"] if module == "build_site" else []),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(word in done.stderr for word in ("hugo", "properdocs", "zensical"))
    assert "Traceback" not in done.stderr
