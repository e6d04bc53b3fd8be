"""The command line: arguments to a command, errors to one line and an exit status."""

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence

from advprop.cli.console import complain, rank, say
from advprop.cli.parser import parse
from advprop.runtime import MissingExtraError, short_of_memory


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status.

    Args:
        arguments: Words of the command line, by default those of this process.

    Returns:
        0 if all went well; 1 if what was asked for failed; 2 if it was asked for wrongly; 128 + n if
        signal n ended it.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal cannot show
    if arguments == ["--version"]:
        from importlib.metadata import version

        say(f"advprop {version('advprop')}")
        return 0
    try:
        command = parse(arguments)
        _show_log()
        with short_of_memory("", lambda: "free some of it"):
            return int(command())
    except KeyboardInterrupt as stop:  # SIGTERM during training is one, too
        number = getattr(stop, "number", signal.SIGINT)
        complain(str(stop) or "interrupted")
        return 128 + int(number)
    except BrokenPipeError:  # the reader of the output has gone: `advprop models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + int(getattr(signal, "SIGPIPE", 13))  # Windows has no such signal
    except (ValueError, OSError, ArithmeticError, MemoryError, MissingExtraError) as error:
        if os.environ.get("ADVPROP_TRACEBACK"):
            raise
        everywhere = not isinstance(error, OSError | MemoryError) or hasattr(error, "__notes__")
        if rank() == 0 or not everywhere:  # what all ranks have met is told once
            complain(f"error: {error}")
        return 2 if isinstance(error, ValueError) else 1


def _show_log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("advprop")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
