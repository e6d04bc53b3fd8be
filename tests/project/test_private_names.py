"""Private names of other libraries that the package uses: all are in the table of the architecture page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PRIVATE = re.compile(r"\b_[a-zA-Z]\w*")
OF_PYTHON = {"_asdict", "_exit", "_replace"}  # private in spelling only


def own_names(tree: ast.Module) -> Iterator[str]:
    """Names that a file defines itself, also on `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and (ast.unparse(node.value), type(node.ctx)) == (
            "self",
            ast.Store,
        ):
            yield node.attr


def named(tree: ast.Module) -> Iterator[str]:
    """What a file imports and which attributes it reads; texts such as `torch._dynamo`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("advprop"):
            yield from [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and str(node.value).startswith("torch._"):
            yield str(node.value)


def foreign(source: str) -> set[str]:
    """Private names in a file that are of another library."""
    tree = ast.parse(source)
    found = {name for words in named(tree) for name in PRIVATE.findall(words)}
    return found - set(own_names(tree)) - OF_PYTHON


def listed(page: str) -> set[str]:
    """The private names in the first column of the table."""
    table = page.partition("## Private names of torch and timm")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {name for first in firsts for name in PRIVATE.findall(first)}


def test_every_private_name_is_in_the_table_and_no_other(root: Path) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (root / "advprop").rglob("*.py")]
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert listed(page) == set().union(*map(foreign, sources))


def test_private_names_are_found() -> None:
    source = (
        "from timm.optim._optim_factory import create\n"
        "class A:\n"
        "    def __init__(self): self._own = torch._C._x(); self.__dict__\n"
        "    def f(self, other): return self._own, self._g, other._own, 'torch._inductor', other._asdict()\n"
        "    def _g(self): ...\n"
    )
    assert foreign(source) == {"_optim_factory", "_C", "_x", "_inductor"}
