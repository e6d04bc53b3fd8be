"""Keeps the run that nbval has just passed: it is the run that the site publishes."""

import re
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from scripts import notebook_cache
from scripts.tutorial_run import TutorialRun, check, check_comments, position, prepare, reading

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

runs: dict[IPyNbFile, TutorialRun] = {}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Read notebooks as the site does."""
    with reading():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin a run for each notebook."""
    for item in items:
        if isinstance(item, IPyNbCell):
            prepare(item)
            if item.parent not in runs:
                runs[item.parent] = TutorialRun(item.parent.nb)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Start a kernel that sees nothing of whoever starts it, and listen to it."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    with runs[item.parent].clean():
        yield
    runs[item.parent].listen(item.parent.kernel)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Look at what nbval does not look at."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    check_comments(item)
    run = runs[item.parent]
    run.cell = position(item)
    yield
    check(item, run)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store a notebook when all its cells have passed; a failure withdraws the run that was stored before."""
    report = yield
    if not isinstance(item, IPyNbCell):
        return report
    run = runs[item.parent]
    if report.failed:
        report.longrepr = f"{where(item, run)}\n\n{_ANSI.sub('', str(report.longrepr))}"
        notebook_cache.withdraw(item.path)
    if call.when == "call" and (report.passed or item.options["skip"]):
        run.left -= 1
        if not run.left:
            keep(item.path, run, report)
    return report


def keep(path: Path, run: TutorialRun, report: pytest.TestReport) -> None:
    """Store the run, unless something was wrong that no single cell tells."""
    wrong = run.heard_late()
    if not wrong and notebook_cache.key_of(run.notebook) != run.key:
        wrong = (
            "files that a tutorial can see have changed while it ran, or it has left some beside it; "
            "run it again, or let it write to a temporary folder"
        )
    if wrong:
        report.outcome, report.longrepr = "failed", f"{path.name}: {wrong}"
        notebook_cache.withdraw(path)
        return
    seconds = time.perf_counter() - run.begun
    notebook_cache.store(path, run.executed, key=run.key, seconds=seconds)


def where(item: IPyNbCell, run: TutorialRun) -> str:
    """Name a cell and its error: the number that it has among all cells, and the heading that it is under."""
    cells, number = run.executed.cells, position(item)
    text = "\n".join(each.source for each in cells[:number] if each.cell_type == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    errors = [each for each in cells[number].outputs if each.output_type == "error"]
    said = f": {errors[-1].ename}: {errors[-1].evalue}" if errors else ""
    if item.parent.timed_out:
        said = f": longer than {item.config.option.nbval_cell_timeout:g} seconds"
    under = f", under '{headings[-1]}'" if headings else ""
    return f"{item.path.name}, cell {number + 1} of {len(cells)}{under}{said}"
