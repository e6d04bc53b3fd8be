"""The command line: arguments to a command, errors to one line and an exit status."""

from __future__ import annotations

import argparse
import difflib
import functools
import io
import logging
import operator
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from advprop.cli.commands import Models, Snippet, Train, Verify
from advprop.cli.console import complain, rank, say
from advprop.cli.run_commands import Evaluate, Export, Plot, Predict
from advprop.recipes import RECIPE_FILE, Method, make_recipe, parse_fraction, short_number
from advprop.runtime import MissingExtraError

_DESCRIPTION = "Adversarial examples improve image recognition: AdvProp for any timm model."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status.

    Args:
        arguments: Words of the command line, by default those of this process.

    Returns:
        0 if all went well; 1 if what was asked for failed; 2 if it was asked for wrongly; 128 + n if
        signal n ended it.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        say(f"advprop {version('advprop')}")
        return 0
    try:
        command = parse(arguments)
        _show_log()
        return int(command())
    except KeyboardInterrupt as stop:  # SIGTERM during training is one, too
        number = getattr(stop, "number", signal.SIGINT)
        complain(str(stop) or "interrupted")
        return 128 + int(number)
    except BrokenPipeError:  # the reader of the output has gone: `advprop models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + int(signal.SIGPIPE)
    except (ValueError, OSError, ArithmeticError, MissingExtraError) as error:
        if os.environ.get("ADVPROP_TRACEBACK"):
            raise
        everywhere = not isinstance(error, OSError) or hasattr(error, "__notes__")
        if rank() == 0 or not everywhere:  # what all ranks have met is told once
            complain(f"error: {error}")
        return 2 if isinstance(error, ValueError) else 1


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments stand for.

    Raises:
        ValueError: If they stand for none, or a recipe that they name cannot be read.
        SystemExit: After help was shown.
    """
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                _commands(_base_recipe(arguments)),
                prog="advprop",
                description=_DESCRIPTION,
                args=list(arguments),
                config=(tyro.conf.OmitArgPrefixes,),
                registry=_values(),
            )
    except SystemExit as stop:
        if stop.code:
            raise ValueError(_one_line(complaint.getvalue())) from None
        raise


def _commands(train: Train) -> Any:
    kinds: dict[str, Any] = {
        "train": Train,
        "plot": Plot,
        "evaluate": Evaluate,
        "predict": Predict,
        "export": Export,
        "models": Models,
        "snippet": Snippet,
        "verify": Verify,
    }
    defaults = {"train": train}
    annotated = (
        Annotated[kind, tyro.conf.subcommand(name, default=defaults[name])]
        if name in defaults
        else Annotated[kind, tyro.conf.subcommand(name)]
        for name, kind in kinds.items()
    )
    return functools.reduce(operator.or_, annotated)


def _base_recipe(arguments: Sequence[str]) -> Train:
    """The training command with the settings that its options start from.

    They are those of the run that is to be resumed, of the recipes, of the data and of the method.
    """
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--recipe", nargs="*", default=[])
    reader.add_argument("--resume", action="store_true")
    reader.add_argument("--out", nargs="?", default="")
    for name in ("--data", "--method"):
        reader.add_argument(name, nargs="?")
    found = vars(reader.parse_known_args(arguments if arguments[:1] == ["train"] else [])[0])
    sources, resume, own = (
        found.pop("recipe"),
        found.pop("resume"),
        Path(found.pop("out") or "") / RECIPE_FILE,
    )
    if resume and own.is_file():
        sources = [str(own), *sources]
    given = {name: value for name, value in found.items() if value is not None}
    if given.get("method") not in get_args(Method):  # tyro knows better how to say so
        given.pop("method", None)
    return Train.of(make_recipe(*sources, **given))


def _values() -> ConstructorRegistry:
    """Lets every number be written as a fraction, `--eps 4/255`, and settings with names as pairs.

    tyro makes options of the names that a recipe has already: `eps` of RMSProp would be that of the attack.
    """
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def fraction(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[float] | None:
        if info.type is not float:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="NUMBER",
            instance_from_str=lambda words: float(parse_fraction(words[0])),
            is_instance=lambda value: isinstance(value, float | int),
            str_from_instance=lambda value: [short_number(value)],
        )

    @registry.primitive_rule
    def pairs(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[dict[str, float]] | None:
        if info.type != dict[str, float] and info.type is not dict:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="[NAME NUMBER]...",
            instance_from_str=_pairs,
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda value: [x for name, n in value.items() for x in (name, short_number(n))],
        )

    return registry


def _pairs(words: list[str]) -> dict[str, float]:
    if len(words) % 2:
        raise ValueError(f"expected a number after each name, got {' '.join(words)}")
    return {name: float(parse_fraction(number)) for name, number in zip(words[::2], words[1::2], strict=True)}


def _one_line(box: str) -> str:
    """What tyro says in a box, in a line, with the nearest option where it knows one.

    The box is drawn with lines, its title in the first of them; or, where the output is not UTF-8, with
    dashes, its title above the first of them.
    """
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)
    bare = re.sub("[│╭╮╰╯]", "", plain)
    parts = [part.strip() for part in re.split(r"(?m)^ *(?:─.*─|-{9,}) *$", bare)]
    said, *more = parts[1:]
    words = {flag for part in more if part.startswith("Perhaps") for flag in re.findall(r"--[\w-]+", part)}
    near = difflib.get_close_matches(said.partition("options: ")[2].split(",")[0], words - {"--help"}, n=1)
    advice = f"did you mean {near[0]}?" if near else "--help shows what there is"
    return f"{' '.join(said.split()).rstrip('.')}; {advice}"


def _show_log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("advprop")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
