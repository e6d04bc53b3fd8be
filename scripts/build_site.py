"""Build the site with a generator of your choice: `python -m scripts.build_site zensical site`.

MkDocs is in the lock. Other generators are installed into `.cache/engines/` when you first name them, with
the lock's versions of the packages that they share with MkDocs. ProperDocs reads `mkdocs.yml` and runs the
hooks. Zensical runs no hooks, so it builds the folder of Markdown that `docs/hooks/write_tree.py` writes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from scripts.surroundings import ROOT

# The oldest version of each generator that was tried.
ENGINES = {"mkdocs": "mkdocs>=1.6.1", "properdocs": "properdocs>=1.6.7", "zensical": "zensical>=0.0.73"}
INSTALLED = ROOT / ".cache" / "engines"
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class EngineError(Exception):
    """Why there is no site, and what to do about it, in a few lines."""


def build(engine: str, site: Path) -> None:
    """Build the site strictly into a folder, which is replaced.

    Raises:
        EngineError: If a page has a mistake, or the generator warns of anything.
    """
    if engine == "zensical":
        _build_from_tree(engine, site)
    else:
        _run(engine, "build", "--strict", "--quiet", "--site-dir", str(site))


def install(engine: str) -> None:
    """Install a generator, if it is missing.

    Raises:
        EngineError: If it cannot be installed.
    """
    if engine == "mkdocs":
        return
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--target", str(INSTALLED / engine), "--constraint", str(ROOT / "requirements.lock")]
    if subprocess.run([*command, ENGINES[engine]], check=False).returncode:
        raise EngineError(
            f"cannot install {ENGINES[engine]} (see above). The first build with {engine} needs a network; "
            "without one, build with MkDocs: make site"
        )


def installed_version(engine: str) -> str:
    """Return the version of a generator; empty if it is missing."""
    path = [str(INSTALLED / engine), *sys.path]
    return next((each.version for each in distributions(name=engine, path=path)), "")


def _build_from_tree(engine: str, site: Path) -> None:
    from advprop.cards import ModelIndexError  # slow to import, and only needed here
    from docs.hooks.rendering import PageError
    from docs.hooks.write_tree import write
    from scripts.notebook_cache import NotebookError
    from scripts.published import SettingError, published

    with tempfile.TemporaryDirectory() as folder:
        try:
            problems = write(Path(folder), published())
        except (ModelIndexError, NotebookError, PageError, SettingError) as error:
            raise EngineError(str(error)) from error
        if problems:
            raise EngineError("\n".join(problems))
        _run(engine, "build", "--strict", "--config-file", str(Path(folder, "mkdocs.yml")))
        shutil.rmtree(site, ignore_errors=True)
        shutil.move(Path(folder, "site"), site)


def _run(engine: str, *words: str) -> None:
    """Run a generator; what it says is shown if it fails."""
    path = os.pathsep.join([str(INSTALLED / engine), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", engine, *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        plain = _COLOR.sub("", done.stdout + done.stderr)
        said, _, traceback = plain.partition("Traceback (most recent call last)")
        raise EngineError(said.strip() or traceback.strip())


def main() -> int:
    """Install the generator if it is missing, build, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("site", type=Path, help="the folder to build into")
    words = parser.parse_args()
    try:
        install(words.engine)
        build(words.engine, words.site.resolve())
    except EngineError as error:
        print(f"site: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
