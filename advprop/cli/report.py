"""What a test says to a person: tables, files of the wrong pictures, and the command for a new picture."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

from advprop.cli.console import complain, say
from advprop.figures import plot_report
from advprop.runs import Report, report_table
from advprop.runtime import MissingExtraError, shell_word

_PICTURE = "report.png"


def show_report(report: Report, model: Path | str, directory: Path | None) -> None:
    """Shows the report of a model, and writes its files to the directory, if there is one."""
    listed = drawn = None
    example = Path(report.example) if Path(report.example).is_file() else None
    if directory is not None:
        try:
            listed = report.write_wrong(directory)
            example = example or report.write_example(directory)
            with suppress(MissingExtraError):
                plot_report(report, directory / _PICTURE)
                drawn = directory / _PICTURE
        except OSError as error:  # the numbers are worth showing where nothing can be written
            complain(str(error))
    say(f"\n{report_table(report, listed)}\n")
    if drawn is not None:
        say(f"picture of this report:  {drawn}")
    elif listed is not None:
        say('picture of this report:  needs pip install "advprop[plot]"')
    if example is not None:
        program = "advprop" if shutil.which("advprop") else f"{shell_word(sys.executable)} -m advprop"
        say(f"predict a picture:       {program} predict {shell_word(example)} --model {shell_word(model)}")
