"""Keeps the run that nbval has just passed: it is the run that the site publishes."""

import time
from collections.abc import Generator
from dataclasses import dataclass, field

import pytest
from nbval.plugin import IPyNbCell, IPyNbFile

from scripts import gpu_runs, notebook_cache


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
    if call.when == "call" and (report.passed or item.options["skip"]):
        run, notebook = runs[item.parent], item.parent.nb
        run.passed += 1
        outputs = item.test_outputs or []
        for output in [item.cell, *outputs]:
            if "execution_count" in output:
                output["execution_count"] = None if item.options["skip"] else run.passed
        item.cell["outputs"] = outputs
        if run.passed == sum(cell.cell_type == "code" for cell in notebook.cells):
            seconds = time.perf_counter() - run.start
            notebook_cache.store(item.path, notebook, key=run.key, seconds=seconds)
    return report
