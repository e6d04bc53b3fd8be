"""What the command line says of itself, for its page."""

import io
import os
import re
from contextlib import redirect_stdout, suppress
from unittest.mock import patch

from advprop.cli import parse

_PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}


def command_help() -> dict[str, str]:
    """The help of every command, by its name."""
    usage = re.findall(r"\{([\w,-]+)\}", _help())
    return {name: _help(name) for name in usage[0].split(",")}


def _help(*command: str) -> str:
    text = io.StringIO()
    with patch.dict(os.environ, _PLAIN), redirect_stdout(text), suppress(SystemExit):
        parse([*command, "--help"])
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip()
