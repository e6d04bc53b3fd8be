"""A tutorial under nbval: a clean kernel, outputs as Jupyter shows them, and nothing passes that went wrong.

nbval runs the cells and decides by the kernel's messages. What it does not look at is looked at here: the
kernel's reply, cells that were left out, commands that failed, and what came on the standard error.
"""

import os
import time
from contextlib import AbstractContextManager, suppress
from copy import deepcopy
from math import inf
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbval import plugin
from nbval.plugin import IPyNbCell, NbCellError

from scripts import notebook_cache
from scripts.notebook_cache import GPU, MAY_FAIL, NOT_RUN, SHOWS_STDERR, tags_of
from scripts.surroundings import clean_environment, device_kind

_LAST_WORDS = 0.5  # seconds


class TutorialRun:
    """A notebook on its way, read once: what ran is what is stored.

    Args:
        notebook: As nbval has read it; it stays as it is.
    """

    def __init__(self, notebook: nbformat.NotebookNode) -> None:
        self.notebook = notebook
        self.key = notebook_cache.key_of(notebook)
        self.left = len(notebook_cache.code_cells(notebook))
        self.executed = deepcopy(notebook)
        self.begun = 0.0
        self.cell = -1
        self.replies: dict[int, dict[str, Any]] = {}
        self._cells: dict[str, int] = {}  # by the request to run them
        self._handling = NotebookClient(self.executed, record_timing=False, store_widget_state=False)
        self._handling.reset_execution_trackers()
        self._notes = TemporaryDirectory(prefix="tutorial-")
        self._kernel: Any = None

    def clean(self) -> AbstractContextManager[Any]:
        """The environment that its kernel starts in, while this lasts."""
        return patch.dict(os.environ, clean_environment(Path(self._notes.name)), clear=True)

    def listen(self, kernel: Any) -> None:
        """Hear what nbval's kernel says from here on: nbclient makes the outputs of the cells from it."""
        if self._kernel is None:
            self._kernel, self._take = kernel, kernel.get_message
            kernel.execute_cell_input, kernel.get_message = self._execute, self._get_message
            self.begun = time.perf_counter()

    def stderr(self, number: int) -> str:
        """Return what a cell has written on the standard error."""
        outputs = self.executed.cells[number].outputs
        return "".join(each.text for each in outputs if each.get("name") == "stderr").strip()

    def unexpected(self, number: int) -> str:
        """Return what is wrong with that; empty if nothing is."""
        meant = SHOWS_STDERR in tags_of(self.executed.cells[number])
        failed = self.replies.get(number, {}).get("status") == "error"
        said = "" if meant or failed else self.stderr(number)
        return said and f"writes on the standard error; if it should, give it the tag {SHOWS_STDERR}: {said}"

    def heard_late(self) -> str:
        """Return what is wrong with what cells have said after their end, by threads that outlive them."""
        end = time.monotonic() + _LAST_WORDS
        with suppress(Empty):
            while time.monotonic() < end:
                self._get_message("iopub", timeout=_LAST_WORDS)
        told = ((number, self.unexpected(number)) for number in self._cells.values())
        return next((f"cell {number + 1} {wrong}" for number, wrong in told if wrong), "")

    def _execute(self, source: str, allow_stdin: bool | None = None) -> str:
        """Run a cell as Jupyter does, with its history: that is where IPython looks for a `;`."""
        request: str = self._kernel.kc.execute(source, allow_stdin=allow_stdin, stop_on_error=False)
        self._cells[request] = self.cell
        self._handling.clear_before_next_output = False
        return request

    def _get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        message = self._wait_for(stream, inf if timeout is None else timeout)
        number = self._cells.get(message["parent_header"].get("msg_id"))
        if number is not None and stream == "shell":
            self.replies[number] = message["content"]
        elif number is not None:
            with suppress(CellExecutionComplete):
                self._handling.process_message(message, self.executed.cells[number], number)
        return message

    def _wait_for(self, stream: str, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            with suppress(Empty):
                message: dict[str, Any] = self._take(stream, timeout=min(seconds, 1))
                return message
            if not self._kernel.is_alive():
                raise RuntimeError("the kernel has died")
            if time.monotonic() >= end:
                raise Empty

    def failed_commands(self) -> str:
        """Return the commands that have failed since this was last asked."""
        noted = Path(self._notes.name, "failed_commands")
        told = noted.read_text(encoding="utf-8").strip() if noted.exists() else ""
        noted.unlink(missing_ok=True)
        return told


def reading() -> AbstractContextManager[Any]:
    """Lets nbval read notebooks as the site does, while it lasts."""
    return patch.object(plugin.nbformat, "read", lambda path, as_version: notebook_cache.read(Path(path)))


def prepare(item: IPyNbCell) -> None:
    """Let its tags alone decide whether a cell is run, and whether it may fail."""
    tags = tags_of(item.cell)
    item.options["skip"] = NOT_RUN in tags or (GPU in tags and device_kind() != "cuda")
    item.options["check_exception"] = MAY_FAIL in tags


def check_comments(item: IPyNbCell) -> None:
    """Raise NbCellError if a comment asks nbval for what no page would show."""
    if dict(plugin.find_comment_markers(item.cell.source)):
        _fail(item, f"has a comment of nbval's, which no page shows; give it the tag {NOT_RUN} or {MAY_FAIL}")


def check(item: IPyNbCell, run: TutorialRun) -> None:
    """Raise NbCellError if something went wrong in a cell that nbval has run and passed."""
    number, tags = position(item), tags_of(item.cell)
    reply, commands = run.replies.get(number, {}), run.failed_commands()
    failed = reply.get("status") == "error"
    if MAY_FAIL in tags:
        if not failed and not commands:
            _fail(item, f"has the tag {MAY_FAIL} and fails in nothing; take the tag away")
    elif failed:
        _fail(item, f"ended in {reply.get('ename')}: {reply.get('evalue')}")
    elif commands:
        _fail(item, f"runs a command that failed: {commands}; if that is meant, give it the tag {MAY_FAIL}")
    if told := run.unexpected(number):
        _fail(item, told)
    if SHOWS_STDERR in tags and not run.stderr(number):
        _fail(item, f"has the tag {SHOWS_STDERR} and writes nothing there; take the tag away")


def _fail(item: IPyNbCell, message: str) -> None:
    raise NbCellError(item.cell_num, message, item.cell.source)


def position(item: IPyNbCell) -> int:
    """Return the place of a cell among all cells of its notebook."""
    return next(place for place, cell in enumerate(item.parent.nb.cells) if cell is item.cell)
