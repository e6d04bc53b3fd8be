"""The report of a test as text for a terminal."""

from collections.abc import Iterator
from pathlib import Path

from advprop.evaluation import wilson
from advprop.runs.report import ClassRow, Report
from advprop.runtime import format_table, shorten

_CLASSES = 10
_ANSWERS = 2
_PICTURES = 5


def report_table(report: Report, file: Path | None = None) -> str:
    """How the classes fare, the worst first, and some of the pictures that are wrong.

    Args:
        report: The report.
        file: Where all of the wrong pictures are listed, if they are.
    """
    return "\n".join([*_classes(report), "", *_pictures(report, file)])


def _classes(report: Report) -> Iterator[str]:
    # By the upper end of the interval: a single image says little of its class.
    worst = sorted(report.classes, key=lambda row: wilson(row.share, row.images)[1])[:_CLASSES]
    if len(worst) < len(report.classes):
        yield f"the {_CLASSES} classes of {len(report.classes)} that are most often wrong"
    rows = [(shorten(row.name), str(row.images), f"{100 * row.share:.1f}", _answers(row)) for row in worst]
    yield format_table(("class", "images", "right, %", "taken for"), rows, right={1, 2})


def _answers(row: ClassRow) -> str:
    told = [f"{shorten(name)} ({count})" for name, count in row.answers[:_ANSWERS]]
    more = [f"{len(row.answers) - _ANSWERS} more"] if len(row.answers) > _ANSWERS else []
    return ", ".join(told + more)


def _pictures(report: Report, file: Path | None) -> Iterator[str]:
    count, total = len(report.wrong), report.accuracy.n
    if not count:
        yield f"none of {total} test images is wrong"
        return
    where = f"; {file} lists all" if file is not None and count > _PICTURES else ""
    yield f"{count} of {total} test images are wrong, the surest first{where}"
    rows = [
        (shorten(each.label), shorten(each.answer), f"{100 * each.confidence:.1f}", each.image)
        for each in report.wrong[:_PICTURES]
    ]
    yield format_table(("label", "answer", "sure, %", "image"), rows, right={2})
