"""An executed notebook as Markdown: light pages that the site's own theme, links and search understand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from docs.hooks.markdown_cells import after_title, headings, markdown_cells
from docs.hooks.outputs import Figures, fenced, folded, show
from docs.hooks.stamps import gpu_note, stamp
from scripts import gpu_runs, install_cell, notebook_cache
from scripts.notebook_cache import MAY_FAIL, NOT_RUN, SHOWS_STDERR, SOLUTION, NotebookError, tags_of

_INSTALLS = "The first cell installs what this tutorial needs where it is missing; elsewhere it does nothing"
THUMBNAIL = "thumbnail"
# Figures with more characters lie beside the page, so that it stays light.
LARGEST_FIGURE = 5000
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
    path: Path,
    *,
    notice: str = "",
    gpu: gpu_runs.GpuRun | None = None,
    changed: Sequence[str] = (),
    links: str = "",
) -> Rendered:
    """Turn an executed notebook into a page.

    Args:
        path: The notebook; its stamp (`metadata.advprop`) says when and where it was run.
        notice: Markdown to show below the title, such as a warning that there is no run.
        gpu: The last run on a GPU, whose outputs stand beside those of this run.
        changed: What has changed since that run.
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
    other = gpu if gpu and run and gpu.stamp["device"] != run["device"] else None
    for place, cell in enumerate(notebook.cells):
        if place in texts:
            heading = ([heading, *headings(cell.source)])[-1]
            parts.append(texts[place])
        elif cell.cell_type == "code" and not HIDDEN & tags_of(cell):
            where, alt = f"{path.name}, cell {place + 1}", cell.metadata.get("alt") or f"Figure: {heading}"
            if gpu_runs.is_gpu_cell(cell) and cell.execution_count is None:
                shown = _gpu_cell(cell, gpu, changed, figures, alt, where)
            else:
                there = other if other and cell.id in other.outputs else None
                shown = _code_cell(cell, figures, alt, where, there)
            parts += _folded(cell, shown)
    head = "\n\n".join(filter(None, (stamp(run, path.name, gpu, changed, links), notice)))
    return Rendered(_below_title("\n\n".join(parts), head) + "\n", figures.files)


def first_figure(notebook: nbformat.NotebookNode, figures: Figures) -> str:
    """The picture of a notebook: the first figure of cells with the tag `thumbnail`, else of all; HTML."""
    for cell in sorted(notebook_cache.code_cells(notebook), key=lambda cell: THUMBNAIL not in tags_of(cell)):
        for output in cell.outputs:
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                return show(output, figures, cell.metadata.get("alt", ""))
    return ""


def _folded(cell: nbformat.NotebookNode, shown: list[str]) -> list[str]:
    """A cell as a page shows it: that to install, and solutions of exercises, are folded away."""
    if install_cell.TAG in tags_of(cell):
        return [folded("note", _INSTALLS, shown)]
    return [folded("success", "Solution", shown)] if SOLUTION in tags_of(cell) else shown


def _gpu_cell(
    cell: nbformat.NotebookNode,
    gpu: gpu_runs.GpuRun | None,
    changed: Sequence[str],
    figures: Figures,
    alt: str,
    where: str,
) -> list[str]:
    """A cell that is run on a GPU only, and was not run here: what came out of its last run there."""
    known = gpu is not None and cell.id in gpu.outputs
    cell.outputs = gpu.outputs[cell.id] if gpu is not None and known else []
    return _code_cell(cell, figures, alt, where, note=gpu_note(gpu.stamp if gpu and known else None, changed))


def _code_cell(
    cell: nbformat.NotebookNode,
    figures: Figures,
    alt: str,
    where: str,
    there: gpu_runs.GpuRun | None = None,
    note: str = "",
) -> list[str]:
    """A cell and what came out of it, and out of its run on a GPU where that is something else."""
    note += "".join(f'<p class="stamp note">{NOTES[tag]}</p>' for tag in NOTES if tag in tags_of(cell))
    code = [] if "remove-input" in tags_of(cell) else [fenced(cell.source, "python")]
    outputs = _outputs(cell, cell.outputs, figures, alt, where)
    if there is not None and not _same(cell.outputs, there.outputs[cell.id]):
        beside = Figures(figures.files, figures.inlined, largest=0)
        shown = _outputs(cell, there.outputs[cell.id], beside, alt, f"{where} on a GPU")
        outputs.append(folded("example", f"The same on {there.stamp['device']}", shown, unfolded=True))
    return code + [note] * bool(note) + outputs


def _same(outputs: Sequence[nbformat.NotebookNode], others: Sequence[nbformat.NotebookNode]) -> bool:
    """Whether two runs of a cell have shown the same."""
    shown, other = (
        [(each.get("text"), each.get("data")) for each in _joined_streams(some)] for some in (outputs, others)
    )
    return shown == other


def _outputs(
    cell: nbformat.NotebookNode,
    outputs: Sequence[nbformat.NotebookNode],
    figures: Figures,
    alt: str,
    where: str,
) -> list[str]:
    for output in outputs:
        if output.output_type == "error" and MAY_FAIL not in tags_of(cell):
            told = f"{where} ends in {output.ename}: {output.evalue}; mend it, then: make notebooks"
            raise NotebookError(told)
    try:
        return [show(output, figures, alt) for output in _joined_streams(outputs)]
    except ValueError as error:
        raise NotebookError(f"{where} has an output that cannot be shown: {error}") from error


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


def _below_title(markdown: str, head: str) -> str:
    """Put `head` after the heading that the page begins with, or first where there is none."""
    at = after_title(markdown)
    return f"{markdown[:at]}\n\n{head}\n\n{markdown[at:].lstrip()}"
