"""Keeps the run that nbval has just passed: it is the run that the site publishes."""

import re
import time
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from scripts import gpu_runs, notebook_cache

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Run:
    """A notebook on its way: the key and the time when it began, and how many cells have passed."""

    key: str
    start: float = field(default_factory=time.perf_counter)
    passed: int = 0


runs: dict[IPyNbFile, Run] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip cells for a GPU where there is none."""
    for item in items:
        if isinstance(item, IPyNbCell) and gpu_runs.is_gpu_cell(item.cell):
            item.options["skip"] = notebook_cache.device_kind() != "cuda"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the outputs of each passed cell into its notebook; store it when all cells have passed."""
    report = yield
    if not isinstance(item, IPyNbCell):
        return report
    if call.when == "setup" and item.parent not in runs:
        runs[item.parent] = Run(notebook_cache.key_of(item.path))
    if report.failed:
        report.longrepr = f"{where(item)}\n\n{_ANSI.sub('', str(report.longrepr))}"
    if call.when == "call" and (report.passed or item.options["skip"]):
        run, notebook = runs[item.parent], item.parent.nb
        run.passed += 1
        # nbval keeps no history, in which IPython would look for the ; that silences a value.
        silent = item.cell.source.rstrip().endswith(";")
        outputs = [
            output
            for output in item.test_outputs or []
            if not (silent and output["output_type"] == "execute_result")
        ]
        for output in [item.cell, *outputs]:
            if "execution_count" in output:
                output["execution_count"] = None if item.options["skip"] else run.passed
        item.cell["outputs"] = outputs
        if run.passed == sum(cell.cell_type == "code" for cell in notebook.cells):
            seconds = time.perf_counter() - run.start
            notebook_cache.store(item.path, notebook, key=run.key, seconds=seconds)
    return report


def where(cell: IPyNbCell) -> str:
    """Name a cell and its error: the number that it has among all cells, and the heading that it is under."""
    cells = cell.parent.nb.cells
    number = next(place for place, each in enumerate(cells) if each is cell.cell)
    text = "\n".join(each.source for each in cells[:number] if each.cell_type == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    errors = [each for each in cell.test_outputs or [] if each.output_type == "error"]
    said = f": {errors[-1].ename}: {errors[-1].evalue}" if errors else ""
    if cell.parent.timed_out:
        said = f": longer than {cell.config.option.nbval_cell_timeout:g} seconds"
    under = f", under '{headings[-1]}'" if headings else ""
    return f"{cell.path.name}, cell {number + 1} of {len(cells)}{under}{said}"
