"""The first code cell of every tutorial, for Colab; `python -m scripts.install_cell` writes it.

It installs what the notebook needs and this Python lacks: the package from where it is published, and what
the notebook's extras bring. Where all is there, as in the tested run, it does nothing. The README's line to
install the package is written from the same setting.
"""

import re

import nbformat
from nbformat import v4

from scripts import notebook_cache
from scripts.published import ROOT, Published, published
from scripts.surroundings import needed_by

TAG = "install"
# What a tutorial names if it needs an extra of the package.
EXTRAS = {"onnx": r"onnx", "plot": r"\bmatplotlib\b|\bnotebook_style\b", "photos": r"\.pypi_in1k\b"}
SOURCE = """\
# Installs missing packages, for example on Colab.
from importlib.util import find_spec

needed = {needed}
missing = " ".join(f'"{{needed[name]}}"' for name in needed if not find_spec(name))
{nowhere}if missing:
    %pip install --quiet {{missing}}"""
# As long as nobody has said where the package is to be had.
NOWHERE = """\
if not find_spec("advprop"):
    raise ModuleNotFoundError('get a checkout of advprop, then: %pip install "CHECKOUT{extras}"')
"""
# The README's line.
_LINE = re.compile(r"^    pip install .*$", re.MULTILINE)


def source(notebook: nbformat.NotebookNode, place: Published) -> str:
    """Return the code of the cell for a notebook: this version, with the extras that the notebook uses."""
    used = extras_of(notebook)
    extras = f"[{','.join(used)}]" if used else ""
    package = place.requirement(extras)
    needed = {"advprop": package} if package else {}
    for extra in used:
        needed |= needed_by(extra)
    nowhere = "" if package else NOWHERE.format(extras=extras)
    return SOURCE.format(needed=_as_code(needed), nowhere=nowhere)


def extras_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the extras of the package that a notebook uses."""
    code = "\n".join(cell.source for cell in others(notebook))
    return [extra for extra, sign in EXTRAS.items() if re.search(sign, code)]


def _as_code(needed: dict[str, str]) -> str:
    """A dictionary as ruff formats it."""
    lines = "".join(f'    "{name}": "{wanted}",\n' for name, wanted in needed.items())
    return f"{{\n{lines}}}" if lines else "{}"


def others(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells but this one."""
    return [cell for cell in notebook_cache.code_cells(notebook) if TAG not in notebook_cache.tags_of(cell)]


def put(notebook: nbformat.NotebookNode, place: Published) -> nbformat.NotebookNode:
    """Return the notebook with the cell in its place, before the other code."""
    first = next(place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    cell = v4.new_code_cell(source(notebook, place), id=TAG, metadata={"tags": [TAG]})
    rest = [each for each in notebook.cells[first:] if TAG not in notebook_cache.tags_of(each)]
    return nbformat.NotebookNode(notebook | {"cells": [*notebook.cells[:first], cell, *rest]})


def readme(text: str, place: Published) -> str:
    """Return the README with the line that installs the package from where it is."""
    return _LINE.sub(f"    {place.install()}", text, count=1)


def main() -> None:
    """Write the cell into the tutorials that lack it, or have another, and the line into the README."""
    place = published()
    for path in notebook_cache.tutorials():
        notebook = notebook_cache.read(path)
        if (right := put(notebook, place)) != notebook:
            path.write_text(nbformat.writes(right) + "\n", encoding="utf-8")
            print(f"wrote the first cell of {path.name}")
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    if (written := readme(text, place)) != text:
        path.write_text(written, encoding="utf-8")
        print(f"wrote how to install the package into {path.name}")


if __name__ == "__main__":
    main()
