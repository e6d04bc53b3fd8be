"""The words of the command line read into a command, an instance with its options, by tyro."""

import argparse
import ast
import inspect
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from advprop.cli.cards import Models, Snippet, Verify
from advprop.cli.evaluate import Evaluate
from advprop.cli.export import Export
from advprop.cli.plot import Plot
from advprop.cli.predict import Predict
from advprop.cli.small_folders import OPTIONS, folder_settings
from advprop.cli.train import Train
from advprop.recipes import (
    FEW_IMAGES,
    RECIPE_FILE,
    Method,
    defaults_by_data,
    make_recipe,
    parse_fraction,
    written,
)
from advprop.runtime import format_table, nearest

_DESCRIPTION = "Adversarial examples improve image recognition: AdvProp for any timm model."
_NAMED = {"true": "True", "false": "False", "none": "None", "null": "None"}
_OTHERS: Any = Plot | Evaluate | Predict | Export | Models | Snippet | Verify


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments stand for.

    Raises:
        ValueError: If they stand for none, or a recipe that they name cannot be read.
        SystemExit: After help was shown.
    """
    complaint, registry = io.StringIO(), ConstructorRegistry()
    registry.primitive_rule(_value)
    train, about = Train(), (Train.__doc__ or "").partition("\n")[0]
    if arguments[:1] == ["train"]:
        train, about = _base(arguments[1:]), _about()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                Annotated[Train, tyro.conf.subcommand(default=train, description=about)] | _OTHERS,
                prog="advprop",
                description=_DESCRIPTION,
                args=list(arguments),
                config=(tyro.conf.OmitArgPrefixes,),
                registry=registry,
            )
    except SystemExit as stop:
        if stop.code:
            raise ValueError(_one_line(complaint.getvalue())) from None
        raise


def _about() -> str:
    """What the help of the training command says above its options: its docstring, a table of defaults."""
    words = (inspect.getdoc(Train) or "").partition("Args:")[0]
    rows = [(f"--{name.replace('_', '-')}", *values) for name, *values in defaults_by_data()]
    table = textwrap.indent(format_table(("", "digits", "small folder", "large data"), rows), "    ")
    few = f"a small folder has at most {FEW_IMAGES} training images"
    about = f"{words.rstrip()}\n\n    Defaults that depend on the data; {few}:\n{table}"
    return about.replace("\n\n    ", "\n    ")  # tyro sets indented lines apart itself


def _base(words: Sequence[str]) -> Train:
    """The training command with the settings that its options start from.

    They are those of the run that is to be resumed, of the recipes, of the data and of the method: tyro shows
    them as defaults, so they must be known before it reads the words. A recipe is taken as it is written: how
    many images a folder has is not asked then.
    """
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--recipe", nargs="*", default=[])
    reader.add_argument("--resume", action="store_true")
    for name in ("out", "method", *OPTIONS):
        reader.add_argument(f"--{name.replace('_', '-')}", f"--{name}", nargs="?")
    found = {
        name: value for name, value in vars(reader.parse_known_args(words)[0]).items() if value is not None
    }
    own, given_recipes = Path(found.get("out", ""), RECIPE_FILE), _several(found["recipe"], str)
    sources = [own, *given_recipes] if found["resume"] and own.is_file() else given_recipes
    given = {} if sources else folder_settings(found)
    given |= {"data": found["data"]} if "data" in found else {}
    if found.get("method") in get_args(Method):  # tyro knows better how to say so if not
        given["method"] = found["method"]
    return Train.of(make_recipe(*sources, given))


def _value(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How a setting of a type is written; None: as tyro has it.

    Every number may be a fraction, `--eps 4/255`, and `none` is taken in any case, wherever a setting may
    have no value. Settings with names are pairs: tyro makes options of the names that a recipe has already,
    and `eps` of RMSProp would be that of the attack.
    """
    outer, inner = get_origin(info.type), get_args(info.type)
    if info.type is float:
        return _one("NUMBER", _number, lambda value: isinstance(value, float | int))
    if info.type is type(None):
        return _one("none", lambda word: _choice(word, (None,)), lambda value: value is None)
    if outer is Literal and "none" in inner:
        return _one(f"{{{','.join(inner)}}}", lambda word: _choice(word, inner), inner.__contains__)
    if outer is tuple and inner[1:] == (...,) and inner[0] in (int, float, str):
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar=f"none|[{'NAME' if inner[0] is str else 'NUMBER'}]...",
            instance_from_str=lambda words: _several(words, inner[0]),
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda value: [written(each) for each in value or (None,)],
        )
    if outer is dict:
        numbers = inner[1] is float
        read, write = (_number, written) if numbers else (_literal, _as_literal)
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar=f"[NAME {'NUMBER' if numbers else 'VALUE'}]...",
            instance_from_str=lambda words: _pairs(words, read),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [x for name, each in value.items() for x in (name, write(each))],
        )
    return None


def _one(
    metavar: str, read: Callable[[str], Any], fits: Callable[[Any], bool]
) -> PrimitiveConstructorSpec[Any]:
    """A value of one word."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=fits,
        str_from_instance=lambda value: [written(value)],
    )


def _choice(word: str, choices: Sequence[Any]) -> Any:
    """One of some words; `none` in any case, which may stand for no value."""
    known = {written(choice): choice for choice in choices}
    word = "none" if word.lower() == "none" else word
    if word not in known:
        raise ValueError(f"expected {', '.join(known)}, got {word!r}")
    return known[word]


def _several(words: list[str], kind: type[int] | type[float] | type[str]) -> tuple[Any, ...]:
    if [word.lower() for word in words] == ["none"]:
        return ()
    return tuple(kind(parse_fraction(word) if kind is float else word) for word in words)


def _pairs(words: list[str], read: Callable[[str], Any]) -> dict[str, Any]:
    if len(words) % 2:
        kind = "number" if read is _number else "value"
        raise ValueError(f"expected a {kind} after each name, got {' '.join(words)}")
    return {name: read(word) for name, word in zip(words[::2], words[1::2], strict=True)}


def _number(word: str) -> float:
    return float(parse_fraction(word))


def _literal(word: str) -> Any:
    """A value as in Python or YAML: a number, a list, true, none; and any other word as it is."""
    try:
        return ast.literal_eval(_NAMED.get(word.lower(), word))
    except (ValueError, SyntaxError):
        return word


def _as_literal(value: Any) -> str:
    return value if isinstance(value, str) and _literal(value) == value else repr(value)


def _one_line(box: str) -> str:
    """What tyro says in a box, in a line, with the nearest options where it knows some.

    The box is drawn with lines, its title in the first of them; or, where the output is not UTF-8, with
    dashes, its title above the first of them.
    """
    bare = re.sub(r"\x1b\[[\d;]*m|[│╭╮╰╯]", "", box)
    _, said, *more = (" ".join(part.split()) for part in re.split(r"(?m)^ *(?:─.*─|-{9,}) *$", bare))
    flags = {flag for part in more if part.startswith("Perhaps") for flag in re.findall(r"--[\w-]+", part)}
    wrong = said.partition("options: ")[2].split(",")[0]
    return f"{said.rstrip('.')}; {nearest(wrong, flags - {'--help'}, '--help shows what there is')}"
