"""What nbval would let pass and a reader would not is red; what is stored is what Jupyter shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat import NotebookNode, v4

pytestmark = pytest.mark.slow

MACHINERY = (
    "notebook_cache.py",
    "gpu_runs.py",
    "run_notebooks.py",
    "shell.sh",
    "surroundings.py",
    "tutorial_run.py",
)
UPDATED = """\
from IPython.display import Markdown, clear_output, display
handle = display(Markdown("accuracy 0 percent"), display_id=True)
print("gone")
clear_output(wait=True)
handle = display(Markdown("accuracy 1 percent"), display_id=True)
handle.update(Markdown("accuracy 97 percent"));"""
ORDER = """\
from IPython.display import Markdown, display
for name in ("first", "second"):
    print("text of", name)
    display(Markdown("table of " + name))"""
LATE = "import threading\nthreading.Timer(0.3, lambda: 1 / 0).start()"
THREAD = "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()"
ENVIRONMENT = """\
import os
seen = {"MPLBACKEND": "agg", "PYTHONSTARTUP": "x", "PYTHONPATH": "x", "IPYTHONDIR": "x", "HF_TOKEN": "x"}
print([name for name, value in seen.items() if os.environ.get(name) == value], os.environ.get("HF_ENDPOINT"))
from huggingface_hub import get_token
print(get_token())
try:
    of_start_up
except NameError:
    print("clean")"""
Cell = str | tuple[str, str]
# By name: cells, each with its tag if it has one, and the reason why the notebook is red.
RED: dict[str, tuple[list[Cell], str]] = {
    "a mistyped magic": (["%notamagic 1\nassert 1 == 2"], "ended in UsageError"),
    "a comment that skips": (["# NBVAL_SKIP\nassert 1 == 2", "1"], "comment of nbval's"),
    "a failed command": (["!no-such-command --version"], "a command that failed: no-such-command --version"),
    "a failed command, captured": (["lines = !no-such-command"], "a command that failed: no-such-command"),
    "a failed command by a magic": (["%sx exit 3"], r"exit 3 \(it ended with 3\)"),
    "a thread that fails": ([THREAD], "ZeroDivisionError"),
    "a thread that fails late": ([LATE, "import time\ntime.sleep(1)", "1"], "ZeroDivisionError"),
    "a thread that fails after the end": ([LATE], "cell 2 writes on the standard error"),
    "no warning": ([("1", "shows-stderr")], "writes nothing there"),
    "a warning before a failed command": (
        [("import warnings\nwarnings.warn('old')\n!exit 3", "raises-exception")],
        "UserWarning: old",
    ),
    "a warning": (["import warnings\nwarnings.warn('old')"], "UserWarning: old"),
    "nothing raised": ([("1", "raises-exception")], "fails in nothing"),
    "a dead kernel": (["import os\nos.kill(os.getpid(), 9)"], "the kernel has died"),
    "yet another file beside it": (["open('left', 'w').close()"], "has left some beside"),
}
# By name: cells, and the texts that come out of them.
GREEN: dict[str, tuple[list[Cell], list[list[str]]]] = {
    "a display that was updated": ([UPDATED], [["accuracy 97 percent"]]),
    "text and displays": (
        [ORDER],
        [["text of first\n", "table of first", "text of second\n", "table of second"]],
    ),
    "semicolons": (["5  # five;", "5;", "6  # six\n# ;"], [["5"], [], ["6"]]),
    "what is meant": (
        [("1 / 0", "raises-exception"), ("1 / 0", "nbval-skip"), ("!exit 3", "raises-exception")],
        [["ZeroDivisionError"], [], []],
    ),
    "a warning that is meant": ([("import sys\nprint('w', file=sys.stderr)", "shows-stderr")], [["w\n"]]),
    "the environment": ([ENVIRONMENT], [["[] http://127.0.0.1:1\nNone\nclean\n"]]),
    "an older format": (["print(1)"], [["1\n"]]),
}


def write(path: Path, cells: list[Cell]) -> None:
    pairs = [(cell, ()) if isinstance(cell, str) else (cell[0], (cell[1],)) for cell in cells]
    code = [v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {}) for source, tags in pairs]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Words"), *code])
    if path.stem == "an older format":
        notebook.nbformat_minor = 4
        for cell in notebook.cells:
            del cell["id"]
    path.write_text(nbformat.v4.writes(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in small whose notebooks were all run, by somebody with settings of their own."""
    project = tmp_path_factory.mktemp("runs") / "a project"
    for name in (*(f"scripts/{each}" for each in MACHINERY), "notebooks/conftest.py", "pyproject.toml"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, project / name)
    for name, (cells, *_) in {**RED, **GREEN}.items():
        write(project / "notebooks" / f"{name}.ipynb", cells)
    start_up = project / "own" / "profile_default" / "startup"
    start_up.mkdir(parents=True)
    (start_up / "own.py").write_text("of_start_up = 1\n")
    (project / ".cache" / "huggingface").mkdir(parents=True)
    (project / ".cache" / "huggingface" / "token").write_text("x")
    settings = {
        "HOME": str(project),
        "MPLBACKEND": "agg",
        "PYTHONSTARTUP": "x",
        "IPYTHONDIR": str(project / "own"),
        "HF_TOKEN": "x",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "--nbval-cell-timeout=60",
        "-q",
    ]
    subprocess.run(
        [*command, "--color=no", "--junitxml=report.xml", "notebooks"],
        cwd=project,
        env=os.environ | settings | {"HF_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": ""},
        capture_output=True,
        check=False,
    )
    return project


def failure(project: Path, name: str) -> str:
    """Why a notebook was red; empty if it was not."""
    cases = ElementTree.parse(project / "report.xml").iter("testcase")
    own = (case for case in cases if f"{name}.ipynb" in f"{case.get('classname')}{case.get('name')}")
    return "\n".join(
        found.text or "" for case in own for kind in ("failure", "error") for found in case.iter(kind)
    )


def stored(project: Path, name: str) -> NotebookNode | None:
    path = project / ".cache" / "notebooks" / f"{name}.ipynb"
    return nbformat.read(path, as_version=4) if path.is_file() else None


@pytest.mark.parametrize("name", RED)
def test_what_a_reader_would_not_let_pass_is_red(project: Path, name: str) -> None:
    assert re.search(RED[name][1], failure(project, name))
    assert stored(project, name) is None


@pytest.mark.parametrize("name", GREEN)
def test_what_is_stored_is_what_jupyter_shows(project: Path, name: str) -> None:
    assert failure(project, name) == ""
    notebook = stored(project, name)
    assert notebook is not None
    nbformat.validate(notebook)
    texts = [
        [
            each.get("text") or each.get("ename") or each.data.get("text/markdown") or each.data["text/plain"]
            for each in cell.outputs
        ]
        for cell in notebook.cells[1:]
    ]
    assert texts == GREEN[name][1]
