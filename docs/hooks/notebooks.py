"""An executed notebook as Markdown: light pages that the site's own theme, links and search understand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from docs.hooks.markdown_cells import after_title, headings, markdown_cells
from docs.hooks.outputs import Figures, fenced, folded, show
from docs.hooks.stamps import gpu_note, other_run, stamp
from scripts import install_cell, notebook_cache
from scripts.gpu_runs import GpuRun
from scripts.notebook_cache import GPU, MAY_FAIL, NOT_RUN, SHOWS_STDERR, SOLUTION, NotebookError, tags_of

_INSTALLS = "The first cell installs missing packages"
# Figures with more characters lie beside the page, so that it stays light.
LARGEST_FIGURE = 5000
# What a page says of a cell with a tag.
NOTES = {
    NOT_RUN: "This cell was not run here.",
    MAY_FAIL: "This cell is meant to fail.",
    SHOWS_STDERR: "Some of what follows is a warning or a message on the standard error.",
}


@dataclass
class Rendered:
    """A notebook's page, the notebook that it shows, the pictures beside it by name, and what is wrong."""

    markdown: str
    path: Path
    files: dict[str, bytes]
    problem: str


def render_notebook(path: Path, *, problem: str = "", gpu: GpuRun | None = None, links: str = "") -> Rendered:
    """Turn an executed notebook into a page.

    Args:
        path: The notebook; its stamp (`metadata.advprop`) says when and where it was run.
        problem: What to warn of below the title, such as that there is no run.
        gpu: The last run on a GPU, whose outputs stand beside those of this run.
        links: HTML of links that stand with the download.

    Raises:
        NotebookError: If a cell's output is a traceback that was not meant, or a picture is not there.
    """
    notebook = notebook_cache.read(path)
    figures = Figures(largest=LARGEST_FIGURE)
    parts: list[str] = []
    heading = path.stem
    try:
        texts = markdown_cells(notebook.cells, figures, notebook_cache.NOTEBOOKS, f"{path.stem}/")
    except ValueError as error:
        raise NotebookError(f"{path.name}: {error}") from error
    run = notebook.metadata.get("advprop")
    other = other_run(run, gpu)
    for place, cell in enumerate(notebook.cells):
        if place in texts:
            heading = ([heading, *headings(cell.source)])[-1]
            parts.append(texts[place])
        elif cell.cell_type == "code" and "remove-cell" not in tags_of(cell):
            alt = cell.metadata.get("alt") or f"Figure: {heading}"
            parts += _CodeCell(cell, figures, alt, f"{path.name}, cell {place + 1}").shown(gpu, other)
    page = "\n\n".join(parts)
    head = [stamp(run, path.name, other, links)] + [f"!!! warning\n    {problem}"] * bool(problem)
    at = after_title(page)
    markdown = "\n\n".join((page[:at], *head, page[at:].lstrip()))
    return Rendered(f"{markdown}\n", path, figures.files, problem)


def first_figure(notebook: nbformat.NotebookNode, figures: Figures) -> str:
    """The picture of a notebook: the first figure of cells with the tag `thumbnail`, else of all; HTML."""
    cells = notebook_cache.code_cells(notebook)
    for cell in sorted(cells, key=lambda cell: "thumbnail" not in tags_of(cell)):
        for output in cell.outputs:
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                return _from_its_top(show(output, figures, cell.metadata.get("alt", "")))
    return ""


def _from_its_top(picture: str) -> str:
    """A picture for a wide box: a tall SVG fills its width, and what is below is cut off."""
    shape = re.search(r'(?:aspect-ratio: |viewBox="\S+ \S+ )([\d.]+)(?: / | )([\d.]+)"', picture)
    if not shape or float(shape[2]) < 0.7 * float(shape[1]):
        return picture
    if 'class="drawn"' in picture:  # it lies beside the page
        return picture.replace('style="', 'style="object-fit: cover; object-position: top; ', 1)
    return picture.replace("<svg ", '<svg preserveAspectRatio="xMidYMin slice" ', 1)


@dataclass
class _CodeCell:
    """A code cell and the figures of its page; what its figures show, in words; its place, for errors."""

    cell: nbformat.NotebookNode
    figures: Figures
    alt: str
    where: str

    def shown(self, gpu: GpuRun | None, other: GpuRun | None) -> list[str]:
        """The cell and what came out of it; cells to install and solutions of exercises are folded away.

        `gpu` has the outputs of a cell that was not run here, `other` those that stand beside this run's.
        """
        cell, tags = self.cell, tags_of(self.cell)
        outputs, note = cell.outputs, ""
        if GPU in tags and cell.execution_count is None:
            kept = gpu if gpu and cell.id in gpu.outputs else None
            outputs, note, other = kept.outputs[cell.id] if kept else [], gpu_note(kept), None
        note += "".join(f'<p class="stamp note">{NOTES[tag]}</p>' for tag in NOTES if tag in tags)
        code = [] if "remove-input" in tags else [fenced(cell.source, "python")]
        parts = code + [note] * bool(note) + self._outputs(outputs, self.figures, self.where)
        there = other.outputs.get(cell.id) if other else None
        if other and there is not None and _told(outputs) != _told(there):
            beside = Figures(self.figures.files, self.figures.inlined, largest=0)
            shown = self._outputs(there, beside, f"{self.where} on a GPU")
            parts.append(folded("example", f"The same on {other.stamp['device']}", shown, unfolded=True))
        if install_cell.TAG in tags:
            return [folded("note", _INSTALLS, parts)]
        return [folded("success", "Solution", parts)] if SOLUTION in tags else parts

    def _outputs(self, outputs: Sequence[nbformat.NotebookNode], figures: Figures, where: str) -> list[str]:
        for output in outputs:
            if output.output_type == "error" and MAY_FAIL not in tags_of(self.cell):
                told = f"{where} ends in {output.ename}: {output.evalue}; mend it, then: make notebooks"
                raise NotebookError(told)
        try:
            return [show(output, figures, self.alt) for output in _joined_streams(outputs)]
        except ValueError as error:
            raise NotebookError(f"{where} has an output that cannot be shown: {error}") from error


def _told(outputs: Sequence[nbformat.NotebookNode]) -> list[tuple[Any, Any]]:
    """What a run of a cell has shown, to compare it with another."""
    return [(each.get("text"), each.get("data")) for each in _joined_streams(outputs)]


def _joined_streams(outputs: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Consecutive pieces of the same stream as one."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            joined[-1] = nbformat.NotebookNode(last | {"text": last["text"] + output.text})
        else:
            joined.append(output)
    return joined
