"""A tutorial under nbval: a clean kernel, outputs as Jupyter shows them, and nothing passes that went wrong.

nbval runs the cells and decides by the kernel's messages. What it does not look at is looked at here: the
kernel's reply, cells that were left out, commands that failed, and what came on the standard error.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from functools import partial
from math import inf
from pathlib import Path
from queue import Empty
from typing import Any
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbval import plugin
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from scripts import notebook_cache
from scripts.notebook_cache import GPU, MAY_FAIL, NOT_RUN, SHOWS_STDERR, tags_of
from scripts.surroundings import clean_environment, device_kind


class RecordingKernel(RunningKernel):  # type: ignore[misc]
    """A kernel whose messages become the outputs of the cells, by nbclient's handling of them.

    Args:
        notebook: What it runs; its cells get the outputs.
    """

    def __init__(self, notebook: nbformat.NotebookNode, *arguments: Any, **named: Any) -> None:
        self.handling = NotebookClient(notebook, record_timing=False, store_widget_state=False)
        self.handling.reset_execution_trackers()
        self.cells: dict[str, int] = {}  # by the request to run them
        self.replies: dict[int, dict[str, Any]] = {}
        self.cell = -1
        super().__init__(*arguments, **named)

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """Run a cell as Jupyter does, with its history: that is where IPython looks for a `;`."""
        request: str = self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)
        self.cells[request] = self.cell
        self.handling.clear_before_next_output = False
        return request

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """Take a message of the kernel, and note what it says of a cell.

        Raises:
            RuntimeError: If the kernel has died.
        """
        message = self._wait_for(stream, inf if timeout is None else timeout)
        number = self.cells.get(message["parent_header"].get("msg_id"))
        if number is not None and stream == "shell":
            self.replies[number] = message["content"]
        elif number is not None:
            with suppress(CellExecutionComplete):
                self.handling.process_message(message, self.handling.nb.cells[number], number)
        return message

    def _wait_for(self, stream: str, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            with suppress(Empty):
                message: dict[str, Any] = super().get_message(stream, timeout=min(seconds, 1))
                return message
            if not self.is_alive():
                raise RuntimeError("the kernel has died")
            if time.monotonic() >= end:
                raise Empty


class Tutorial(IPyNbFile):  # type: ignore[misc]
    """A notebook of `notebooks/`, read once: what ran is what is stored."""

    def collect(self) -> Iterator[IPyNbCell]:
        """Read the notebook, and give its code cells in order."""
        with patch.object(plugin.nbformat, "read", lambda path, as_version: notebook_cache.read(Path(path))):
            cells = list(super().collect())
        self.key = notebook_cache.key_of(self.nb)
        self.left = len(cells)
        self.executed = deepcopy(self.nb)
        for item in cells:
            tags = tags_of(item.cell)
            item.options["skip"] = NOT_RUN in tags or (GPU in tags and device_kind() != "cuda")
            item.options["check_exception"] = MAY_FAIL in tags
        yield from cells

    def setup(self) -> None:
        """Start a kernel that sees nothing of whoever starts it."""
        self.notes = Path(tempfile.mkdtemp(prefix="tutorial-"))
        clean = patch.dict(os.environ, clean_environment(self.notes), clear=True)
        with clean, patch.object(plugin, "RunningKernel", partial(RecordingKernel, self.executed)):
            super().setup()

    def teardown(self) -> None:
        """Stop the kernel."""
        super().teardown()
        shutil.rmtree(self.notes, ignore_errors=True)

    def failed_commands(self) -> str:
        """Return the commands that have failed since this was last asked."""
        noted = self.notes / "failed_commands"
        told = noted.read_text(encoding="utf-8").strip() if noted.exists() else ""
        noted.unlink(missing_ok=True)
        return told


def check(item: IPyNbCell) -> None:
    """Raise NbCellError if something went wrong in a cell that nbval has run and passed."""
    tags, reply = tags_of(item.cell), item.parent.kernel.replies.get(position(item), {})
    stderr = "".join(each.text for each in executed(item).outputs if each.get("name") == "stderr").strip()
    commands = item.parent.failed_commands()
    failed = reply.get("status") == "error"
    if MAY_FAIL in tags:
        if not failed and not commands:
            _fail(item, f"has the tag {MAY_FAIL} and fails in nothing; take the tag away")
    elif failed:
        _fail(item, f"ended in {reply.get('ename')}: {reply.get('evalue')}")
    elif commands:
        _fail(item, f"runs a command that failed: {commands}; if that is meant, give it the tag {MAY_FAIL}")
    elif stderr and SHOWS_STDERR not in tags:
        _fail(item, f"writes on the standard error; if it should, give it the tag {SHOWS_STDERR}: {stderr}")


def check_comments(item: IPyNbCell) -> None:
    """Raise NbCellError if a comment changes how nbval runs a cell, since the page would not say so."""
    if dict(plugin.find_comment_markers(item.cell.source)):
        _fail(item, f"has a comment of nbval's, which no page shows; give it the tag {NOT_RUN} or {MAY_FAIL}")


def _fail(item: IPyNbCell, message: str) -> None:
    raise NbCellError(item.cell_num, message, item.cell.source)


def executed(item: IPyNbCell) -> nbformat.NotebookNode:
    """Return a cell with its outputs."""
    cell: nbformat.NotebookNode = item.parent.executed.cells[position(item)]
    return cell


def position(item: IPyNbCell) -> int:
    """Return the place of a cell among all cells of its notebook."""
    return next(place for place, cell in enumerate(item.parent.nb.cells) if cell is item.cell)
