"""The tutorials notice: with one number or name of the library changed, a claim of a tutorial fails."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts import notebook_cache
from scripts.run_notebooks import is_fresh


@dataclass(frozen=True)
class Change:
    """One name or number of the library, and the tutorial that ought to notice."""

    file: str
    before: str
    after: str
    tutorial: str


CHANGES = {
    "the attack steps down": Change(
        "attacks/pgd.py",
        "self.ball.ascent(gradient.to(wide)).mul_(self.step_length)",
        "self.ball.ascent(gradient.to(wide)).mul_(-self.step_length)",
        "02_from_scratch.ipynb",
    ),
    "the attack goes through the main norms": Change(
        "tasks/advprop.py",
        "with use_branch(model, branch):",
        "with use_branch(model, MAIN):",
        "02_from_scratch.ipynb",
    ),
    "adversarial images go through the main norms": Change(
        "tasks/advprop.py",
        "with use_branch(self.trainable_module, sizes):",
        "with use_branch(self.trainable_module, MAIN):",
        "02_from_scratch.ipynb",
    ),
    "a hundredth of the learning rate reaches the optimizer": Change(
        "training/build.py",
        '"lr": recipe.scaled_lr,',
        '"lr": recipe.scaled_lr / 100,',
        "07_scale.ipynb",
    ),
}


@dataclass(frozen=True)
class Passage:
    """What nbval said of a tutorial: how many code cells passed, and why the next did not."""

    passed: int
    failure: str


def project_in_small(root: Path, to: Path, tutorial: str) -> Path:
    """Copy what a tutorial runs with; its kernel finds the copy of the package beside the notebook first."""
    for name in ("advprop", "docs/models", "scripts", "snippets"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    (to / "notebooks").mkdir()
    (to / "notebooks" / "advprop").symlink_to(to / "advprop")
    for name in ("pyproject.toml", "notebooks/conftest.py", f"notebooks/{tutorial}"):
        shutil.copy(root / name, to / name)
    return to


def run(project: Path) -> Passage:
    """Run the one tutorial of a project as make does, up to the first cell that fails."""
    report = project / "report.xml"
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTEST_ADDOPTS": f"-x -p no:cacheprovider --junitxml='{report}'",
    }
    command = [sys.executable, "-m", "scripts.run_notebooks"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [failure.text or "" for case in cases for failure in case.iter("failure")]
    assert len(failures) == done.returncode <= 1, done.stdout + done.stderr
    return Passage(len(cases) - len(failures), "".join(failures))


def code_cells(tutorial: str, *, solutions: bool = True) -> list[str]:
    """Return the sources of the code cells of a tutorial; solutions come after the claims."""
    cells = notebook_cache.code_cells(notebook_cache.read(notebook_cache.NOTEBOOKS / tutorial))
    left_out = set() if solutions else {notebook_cache.SOLUTION}
    return [cell.source for cell in cells if not left_out & notebook_cache.tags_of(cell)]


def test_what_is_changed_is_there(root: Path) -> None:
    for change in CHANGES.values():
        assert (root / "advprop" / change.file).read_text(encoding="utf-8").count(change.before) == 1


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_library_fails_a_claim(change: Change, root: Path, tmp_path: Path) -> None:
    project = project_in_small(root, tmp_path, change.tutorial)
    path = project / "advprop" / change.file
    source = path.read_text(encoding="utf-8")
    path.write_text(source.replace(change.before, change.after), encoding="utf-8")
    passage = run(project)
    cells = code_cells(change.tutorial, solutions=False)
    assert passage.passed == len(cells) - 1, passage.failure
    assert "AssertionError" in passage.failure
    assert cells[-1].splitlines()[-1] in passage.failure  # nbval shows the cell: the one with the claims


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted({change.tutorial for change in CHANGES.values()}))
def test_the_library_as_it_is_fails_none(name: str, root: Path, tmp_path: Path) -> None:
    if not is_fresh(notebook_cache.NOTEBOOKS / name):  # else it has passed with this code already
        passage = run(project_in_small(root, tmp_path, name))
        assert passage == Passage(len(code_cells(name)), "")
