"""An executed notebook as Markdown: light pages that the site's own theme, links and search understand."""

from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from docs.hooks.markdown_cells import after_title, headings, markdown_cells
from docs.hooks.outputs import Figures, fenced, folded, show
from docs.hooks.stamps import gpu_note, stamp
from scripts import gpu_runs, install_cell, notebook_cache
from scripts.notebook_cache import MAY_FAIL, NOT_RUN, SHOWS_STDERR, NotebookError, tags_of

_INSTALLS = "The first cell installs what this tutorial needs where it is missing; elsewhere it does nothing"
THUMBNAIL = "thumbnail"
HIDDEN = {"remove-cell"}
# What a page says of a cell with a tag.
NOTES = {
    NOT_RUN: "This cell was not run here.",
    MAY_FAIL: "This cell is meant to fail.",
    SHOWS_STDERR: "Some of what follows is a warning or a message on the standard error.",
}


@dataclass
class Rendered:
    """A notebook's page: its Markdown, and the pictures that lie beside it by their names."""

    markdown: str
    files: dict[str, bytes] = field(default_factory=dict)


def render_notebook(
    path: Path, *, notice: str = "", gpu: gpu_runs.GpuRun | None = None, fresh: bool = True, links: str = ""
) -> Rendered:
    """Turn an executed notebook into a page.

    Args:
        path: The notebook; its stamp (`metadata.advprop`) says when and where it was run.
        notice: Markdown to show below the title, such as a warning that there is no run.
        gpu: The last run on a GPU, for the cells that were not run here.
        fresh: Whether that run was of today's code.
        links: HTML of links that stand with the download.

    Raises:
        NotebookError: If a cell's output is a traceback that was not meant, or a picture is not there.
    """
    notebook = notebook_cache.read(path)
    figures = Figures()
    parts: list[str] = []
    heading = path.stem
    try:
        texts = markdown_cells(notebook.cells, figures, notebook_cache.NOTEBOOKS, f"{path.stem}/")
    except ValueError as error:
        raise NotebookError(f"{path.name}: {error}") from error
    for place, cell in enumerate(notebook.cells):
        if place in texts:
            heading = ([heading, *headings(cell.source)])[-1]
            parts.append(texts[place])
        elif install_cell.TAG in tags_of(cell):
            parts.append(folded(_INSTALLS, fenced(cell.source, "python")))
        elif cell.cell_type == "code" and not HIDDEN & tags_of(cell):
            where = f"{path.name}, cell {place + 1}"
            note = "".join(f'<p class="stamp note">{NOTES[tag]}</p>' for tag in NOTES if tag in tags_of(cell))
            if gpu_runs.is_gpu_cell(cell) and cell.execution_count is None:
                cell.outputs = gpu.outputs.get(cell.id, []) if gpu else []
                note = gpu_note(gpu.stamp if gpu and cell.id in gpu.outputs else None, fresh)
            parts += _code_cell(cell, figures, cell.metadata.get("alt") or f"Figure: {heading}", where, note)
    run = notebook.metadata.get("advprop")
    head = "\n\n".join(filter(None, (stamp(run, path.name, gpu.stamp if gpu else None, links), notice)))
    return Rendered(_below_title("\n\n".join(parts), head) + "\n", figures.files)


def first_figure(notebook: nbformat.NotebookNode, figures: Figures) -> str:
    """The picture of a notebook: the first figure of cells with the tag `thumbnail`, else of all; HTML."""
    for cell in sorted(notebook_cache.code_cells(notebook), key=lambda cell: THUMBNAIL not in tags_of(cell)):
        for output in cell.outputs:
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                return show(output, figures, cell.metadata.get("alt", ""))
    return ""


def _code_cell(
    cell: nbformat.NotebookNode, figures: Figures, alt: str, where: str, note: str = ""
) -> list[str]:
    for output in cell.outputs:
        if output.output_type == "error" and MAY_FAIL not in tags_of(cell):
            told = f"{where} ends in {output.ename}: {output.evalue}; mend it, then: make notebooks"
            raise NotebookError(told)
    shown = [] if "remove-input" in tags_of(cell) else [fenced(cell.source, "python")]
    try:
        outputs = [show(output, figures, alt) for output in _joined_streams(cell.outputs)]
    except ValueError as error:
        raise NotebookError(f"{where} has an output that cannot be shown: {error}") from error
    return shown + [note] * bool(note) + outputs


def _joined_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Consecutive pieces of the same stream as one."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            joined[-1] = nbformat.NotebookNode(last | {"text": last["text"] + output.text})
        else:
            joined.append(output)
    return joined


def _below_title(markdown: str, head: str) -> str:
    """Put `head` after the heading that the page begins with, or first where there is none."""
    at = after_title(markdown)
    return f"{markdown[:at]}\n\n{head}\n\n{markdown[at:].lstrip()}"
