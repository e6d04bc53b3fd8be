"""Pages with a model index: where its YAML is, where each field of it is, and what is wrong, in words."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic_core import ErrorDetails

from advprop.runtime import nearest

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # every scalar stays the text that was written
_INDEX = re.compile(r"^(Models|Collections|Type)[ \t]*:", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_SAYS = {  # pydantic's errors that speak of Python
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "tuple_type": "must be a list",
    "too_short": "must have an item",
    "model_type": "must be a mapping of fields",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "is not of the right form",
}
_NO_INDEX = (
    "has no model index; end the page with a comment <!-- ... --> (or start it with front matter) that has "
    "Models, Collections and 'Type: model-index'"
)


class Problem(NamedTuple):
    """What is wrong with a model index, and where; lines and columns start from 1."""

    file: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}:{self.column}: {field}{self.message}"


def _problem(file: str, mark: yaml.Mark, field: str, message: str) -> Problem:
    return Problem(file, mark.line + 1, mark.column + 1, field, message)


class ModelIndexError(ValueError):
    """A model index that cannot be read; `problems` has every one that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Page:
    """The model index of one page.

    Attributes:
        file: The page, relative to the working directory where it is below it.
        data: The YAML as mappings, lists and the text of scalars.
        node: The same as PyYAML's nodes, which know where they stand.
    """

    file: str
    data: Any
    node: yaml.Node

    def problem(self, location: Iterable[str | int], message: str) -> Problem:
        """A problem with the field at this path of keys and positions, such as `("Models", 3, "Name")`."""
        parts = [key for part in location for key in (part.split(".") if isinstance(part, str) else [part])]
        mark = _find(self.node, parts, self.node.start_mark)
        names = [part for part in parts if isinstance(part, str)]
        return _problem(self.file, mark, ".".join(names[1:] or names), message)


def read_page(path: str | Path) -> Page:
    """Read the YAML of the model index that a page has.

    Raises:
        ModelIndexError: If there is none, or two, or it is not YAML, or a key occurs twice.
        OSError: If the page cannot be read.
    """
    file = _shown(Path(path))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelIndexError([Problem(file, 1, 1, "", "is not UTF-8; save it so")]) from error
    front = _FRONT_MATTER.match(text)
    in_front = front.span("yaml") if front and _INDEX.search(front["yaml"]) else None
    in_comment = _comment(text)
    span = in_front or in_comment
    if span is None or (in_front and in_comment):
        told = "has a model index in front matter and another in a comment; keep one" if span else _NO_INDEX
        raise ModelIndexError([Problem(file, 1, 1, "", told)])
    return _parse(file, text, *span, in_front=in_front is not None)


def strip_model_index(markdown: str) -> str:
    r"""The page without the comment that holds its model index, which must not reach the HTML.

    Front matter stays: the site generator takes it off itself.

    Examples:
        >>> from advprop.cards.page import strip_model_index
        >>> strip_model_index("# AdvProp\n\n<!--\nType: model-index\n-->\n")
        '# AdvProp\n'
    """
    span = _comment(markdown)
    return markdown[: span[0] - len("<!--")].rstrip() + "\n" if span else markdown


def in_words(error: ErrorDetails, meanings: dict[str, str]) -> str:
    """An error of pydantic in the words of the model index: the invariant, the value received, the fix.

    Meanings are those of the record that the error is in, such as `{"Metadata.LR": "learning rate"}`.
    """
    *parents, label = ("", *map(str, error["loc"]))
    if error["type"] == "no_metadata":
        return error["msg"]
    if error["type"] == "extra_forbidden":
        return f"is no field of a model index; {nearest(_last(label), map(_last, meanings))}"
    meaning = meanings.get(label) or meanings.get(parents[-1], "")
    fix = f"; give: {meaning}" if meaning else ""
    if error["type"] == "missing":
        return f"is missing{fix}"
    says = _SAYS.get(error["type"]) or error["msg"].replace("Input should be", "must be")
    return f"{says}, got {_brief(error['input'])}{fix}"


def _last(label: str) -> str:
    return label.rpartition(".")[2]


def _brief(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return str(value) or "nothing"


def _comment(text: str) -> tuple[int, int] | None:
    """The span between the marks of the comment that the page ends with, if it holds a model index."""
    start, end = text.rfind("<!--") + len("<!--"), len(text.rstrip()) - len("-->")
    if start < len("<!--") or text.find("-->", start) != end or not _INDEX.search(text, start, end):
        return None
    return start, end


def _parse(file: str, text: str, start: int, end: int, in_front: bool) -> Page:
    """Parse the YAML of a span; the lines before it are kept as empty ones, so that its marks are true.

    In front matter, keys in small letters are settings of the site generator, such as `title`.
    """
    text = "\n" * text.count("\n", 0, start) + text[start:end]
    loader = _LOADER(text)
    try:
        node = loader.get_single_node()
        if repeated := list(_repeated_keys(node, set())):
            raise ModelIndexError(
                _problem(file, key.start_mark, key.value, "is there twice; keep one") for key in repeated
            )
        if in_front and isinstance(node, yaml.MappingNode):
            node.value = [(key, value) for key, value in node.value if not key.value[:1].islower()]
        return Page(file, loader.construct_document(node), node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        said = ", ".join(part for part in (error.problem, error.context) if part)
        raise ModelIndexError([_problem(file, mark, "", f"is not YAML: {said}")]) from error
    except yaml.reader.ReaderError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        here = found.start() if found else 0
        line, column = text.count("\n", 0, here) + 1, here - text.rfind("\n", 0, here)
        raise ModelIndexError([Problem(file, line, column, "", f"is not YAML: {error.reason}")]) from error
    finally:
        loader.dispose()


def _repeated_keys(node: yaml.Node, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    if id(node) in seen:  # an alias, perhaps of what it is in
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    yield key
                keys.add(key.value)
            yield from _repeated_keys(value, seen)


def _find(node: yaml.Node, parts: list[str | int], mark: yaml.Mark) -> yaml.Mark:
    """The mark of a field's key or of a list's item below a node, or of what comes nearest above it."""
    match node, parts:
        case yaml.SequenceNode(), [int(at), *rest]:
            return _find(node.value[at], rest, node.value[at].start_mark)
        case yaml.MappingNode(), [part, *rest]:
            for key, value in node.value:
                if key.value == part:
                    return _find(value, rest, key.start_mark)
    return mark


def _shown(path: Path) -> str:
    full, here = path.resolve(), Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(path)
