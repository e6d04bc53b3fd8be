"""Keeps the run that nbval has just passed: it is the run that the site publishes."""

import re
import time
from collections.abc import Generator
from typing import Any

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from scripts import notebook_cache
from scripts.tutorial_run import Tutorial, check, check_comments, executed, position

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    """Let a tutorial stand in for nbval's file."""
    found = yield
    notebooks = [each.path for each in found if isinstance(each, IPyNbFile)]
    return [Tutorial.from_parent(parent, path=path) for path in notebooks] or found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Look at what nbval does not look at."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    check_comments(item)
    item.parent.kernel.cell = position(item)
    yield
    check(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store a notebook when all its cells have passed; a failure withdraws the run that was stored before."""
    report = yield
    if not isinstance(item, IPyNbCell):
        return report
    tutorial = item.parent
    if report.failed:
        report.longrepr = f"{where(item)}\n\n{_ANSI.sub('', str(report.longrepr))}"
        notebook_cache.withdraw(item.path)
    if call.when == "setup" and item.cell_num == 0:
        tutorial.begun = time.perf_counter()
    if call.when == "call" and (report.passed or item.options["skip"]):
        tutorial.left -= 1
        if not tutorial.left:
            keep(tutorial, report)
    return report


def keep(tutorial: Tutorial, report: pytest.TestReport) -> None:
    """Store the run, unless what it can see has changed meanwhile."""
    if notebook_cache.key_of(tutorial.nb) == tutorial.key:
        seconds = time.perf_counter() - tutorial.begun
        notebook_cache.store(tutorial.path, tutorial.executed, key=tutorial.key, seconds=seconds)
        return
    report.outcome = "failed"
    report.longrepr = (
        f"{tutorial.path.name}: files that a tutorial can see have changed while it ran, or it has left some "
        "beside it; run it again, or let it write to a temporary folder"
    )


def where(cell: IPyNbCell) -> str:
    """Name a cell and its error: the number that it has among all cells, and the heading that it is under."""
    cells, number = cell.parent.nb.cells, position(cell)
    text = "\n".join(each.source for each in cells[:number] if each.cell_type == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    errors = [each for each in executed(cell).outputs if each.output_type == "error"]
    said = f": {errors[-1].ename}: {errors[-1].evalue}" if errors else ""
    if cell.parent.timed_out:
        said = f": longer than {cell.config.option.nbval_cell_timeout:g} seconds"
    under = f", under '{headings[-1]}'" if headings else ""
    return f"{cell.path.name}, cell {number + 1} of {len(cells)}{under}{said}"
