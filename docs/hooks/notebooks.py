"""An executed notebook as Markdown: light pages that the site's own theme, links and search understand."""

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import nbformat

from docs.hooks.outputs import Figures, as_text, inline_svg, safe_html
from docs.hooks.stamps import gpu_note, stamp
from scripts import gpu_runs, install_cell, notebook_cache

THUMBNAIL = "thumbnail"
HIDDEN = {"remove-cell", install_cell.TAG}
_FENCE = re.compile(r"`{3,}")
_HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)


class NotebookError(ValueError):
    """A notebook whose outputs must not be published."""


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
        NotebookError: If a cell's output is a traceback.
    """
    notebook = notebook_cache.read(path)
    figures = Figures()
    parts: list[str] = []
    heading = path.stem
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            heading = ([heading, *_HEADING.findall(cell.source)])[-1]
            parts.append(cell.source)
        elif cell.cell_type == "code" and not HIDDEN & set(cell.metadata.get("tags", ())):
            where = f"{path.name}, cell {number}"
            note = ""
            if gpu_runs.is_gpu_cell(cell) and cell.execution_count is None:
                cell.outputs = gpu.outputs.get(cell.id, []) if gpu else []
                note = gpu_note(gpu.stamp if gpu and cell.id in gpu.outputs else None, fresh)
            parts += _code_cell(cell, figures, cell.metadata.get("alt") or f"Figure: {heading}", where, note)
    run = notebook.metadata.get("advprop")
    head = "\n\n".join(filter(None, (stamp(run, path.name, gpu.stamp if gpu else None, links), notice)))
    return Rendered(_below_title("\n\n".join(parts), head) + "\n", figures.files)


def fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any that is in it."""
    longest = max((len(found) for found in _FENCE.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def first_figure(notebook: nbformat.NotebookNode, figures: Figures) -> str:
    """The picture of a notebook: the first figure of cells with the tag `thumbnail`, else of all; HTML."""
    for cell in sorted(
        notebook_cache.code_cells(notebook), key=lambda cell: THUMBNAIL not in cell.metadata.get("tags", [])
    ):
        for output in cell.outputs:
            if {"image/svg+xml", "image/png"} & set(output.get("data", {})):
                return _output(output, figures, cell.metadata.get("alt", ""), "")
    return ""


def _code_cell(
    cell: nbformat.NotebookNode, figures: Figures, alt: str, where: str, note: str = ""
) -> list[str]:
    shown = [] if "remove-input" in cell.metadata.get("tags", []) else [fenced(cell.source, "python")]
    outputs = _joined_streams(cell.outputs)
    return shown + [note] * bool(note) + [_output(output, figures, alt, where) for output in outputs]


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


def _output(output: nbformat.NotebookNode, figures: Figures, alt: str, where: str) -> str:
    if output.output_type == "error":
        raise NotebookError(f"{where} ends in {output.ename}: {output.evalue}; mend it, then: make notebooks")
    if output.output_type == "stream":
        return fenced(as_text(output.text), "{.text .output .no-copy}")
    data = output.data
    if "image/svg+xml" in data:
        return f'<figure class="output">\n{inline_svg(data["image/svg+xml"], figures, alt)}\n</figure>'
    if "image/png" in data:
        name = figures.add_png(data["image/png"])
        image = f'<img src="{name}" alt="{escape(alt)}" loading="lazy">'
        return f'<figure class="output">\n{image}\n</figure>'
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if "text/html" in data:
        return f'<div class="output">\n{safe_html(data["text/html"])}\n</div>'
    return fenced(as_text(data.get("text/plain", "")), "{.text .output .no-copy}")


def _below_title(markdown: str, head: str) -> str:
    """Put `head` after the first heading, or first where there is none."""
    title = re.search(r"\A\s*# .*$", markdown, re.MULTILINE)
    at = title.end() if title else 0
    return f"{markdown[:at]}\n\n{head}\n\n{markdown[at:].lstrip()}"
