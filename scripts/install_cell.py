"""The first code cell of every tutorial, for Colab; `python -m scripts.install_cell` writes it.

Where all that the notebook needs is installed, as in the tested run, it does nothing. Pages leave it out.
"""

import json
import re
from importlib.metadata import version
from itertools import chain

import nbformat
from nbformat import v4

from scripts import notebook_cache
from scripts.surroundings import needed_by

TAG = "install"
# What a tutorial names if it needs an extra of the package.
EXTRAS = {"onnx": r"onnx", "plot": r"\bmatplotlib\b|\bnotebook_style\b", "photos": r"\.pypi_in1k\b"}
SOURCE = """\
# Installs what this notebook needs where it is missing, as on Colab; elsewhere it does nothing.
from importlib.util import find_spec

if not all(map(find_spec, {needed})):
    %pip install --quiet "advprop{extras}=={version}\""""


def source(notebook: nbformat.NotebookNode) -> str:
    """Return the code of the cell for a notebook: this version, with the extras that the notebook uses."""
    code = "\n".join(cell.source for cell in others(notebook))
    used = [extra for extra, sign in EXTRAS.items() if re.search(sign, code)]
    packages = ["advprop", *chain.from_iterable(map(needed_by, used))]
    needed = [name.replace("-", "_") for name in packages]  # the names that they are imported by
    extras = f"[{','.join(used)}]" if used else ""
    return SOURCE.format(needed=json.dumps(needed), extras=extras, version=version("advprop"))


def others(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells but this one."""
    return [cell for cell in notebook_cache.code_cells(notebook) if TAG not in cell.metadata.get("tags", [])]


def put(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook with the cell in its place, before the other code."""
    first = next(place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    cell = v4.new_code_cell(source(notebook), id=TAG, metadata={"tags": [TAG]})
    rest = [each for each in notebook.cells[first:] if TAG not in each.metadata.get("tags", [])]
    return nbformat.NotebookNode(notebook | {"cells": [*notebook.cells[:first], cell, *rest]})


def main() -> None:
    """Write the cell into the tutorials that lack it, or have one of another version."""
    for path in notebook_cache.tutorials():
        notebook = notebook_cache.read(path)
        if (right := put(notebook)) != notebook:
            path.write_text(nbformat.writes(right) + "\n", encoding="utf-8")
            print(f"wrote the first cell of {path.name}")


if __name__ == "__main__":
    main()
