"""What the command line says of itself, for its page."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from advprop.cli import parse
from docs.hooks.rendering import PageError

_PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def command_help() -> dict[str, str]:
    """The help of every command, by its name.

    Raises:
        PageError: If the command line names no commands.
    """
    usage = re.search(r"\{([\w,-]+)\}", _help())
    if usage is None:
        raise PageError("advprop --help names no commands")
    return {name: _help(name) for name in usage[1].split(",")}


def _help(*command: str) -> str:
    text = io.StringIO()
    with _environment(_PLAIN), redirect_stdout(text), suppress(SystemExit):
        parse([*command, "--help"])
    lines = _COLOUR.sub("", text.getvalue()).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
