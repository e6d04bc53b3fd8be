"""What a model answers to test images, for a reader: confused classes, and each picture that is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from advprop.data import Batches, ImageSet, name_in, pixels_in
from advprop.evaluation import Accuracy, Answers, wilson
from advprop.runs.directory import write_table
from advprop.runtime import format_table, shorten

WRONG = "wrong.csv"
EXAMPLE = "example.png"
# How many of them the text for a terminal has.
_CLASSES = 10
_ANSWERS = 2
_PICTURES = 5


class Wrong(NamedTuple):
    """A test image that the model takes for another class.

    Attributes:
        image: Its file, or its number where it has none.
        label: Its class.
        answer: The class that the model takes it for.
        confidence: The probability that the model gives to that, in [0, 1].
        number: Its number in the test images.
    """

    image: str
    label: str
    answer: str
    confidence: float
    number: int


class ClassRow(NamedTuple):
    """How a class fares.

    Attributes:
        name: The class.
        images: Number of its test images.
        right: How many of them are right.
        answers: What the others are taken for, and how many of them; the most frequent first.
    """

    name: str
    images: int
    right: int
    answers: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        """Share of its images that are right, in [0, 1]."""
        return self.right / self.images


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What a model answers to test images.

    Args:
        accuracy: How often it is right.
        classes: How each class fares that has test images, by label.
        wrong: The images that are wrong, those first of which the model is surest.
        images: The test images.
        first: The number of the first of them.
    """

    accuracy: Accuracy
    classes: tuple[ClassRow, ...]
    wrong: tuple[Wrong, ...]
    images: ImageSet
    first: int

    @classmethod
    def of(cls, answers: Answers, batches: Batches, name_of_class: Callable[[int], str]) -> Report:
        """The report of a test over all ranks; all of them must call this.

        Args:
            answers: What this rank's model answered.
            batches: The test images of this rank.
            name_of_class: The name of a class by its label.
        """
        found = answers.numbered(batches.tested()).of_all_ranks()
        values = (found.numbers, found.labels, found.classes, found.confidences)
        rows = list(zip(*(each.tolist() for each in values), strict=True))
        wrong = [
            Wrong(name_in(batches.images, number), name_of_class(label), name_of_class(answer), sure, number)
            for number, label, answer, sure in rows
            if label != answer
        ]
        return cls(
            accuracy=found.accuracy,
            classes=_rows(Counter((label, answer) for _, label, answer, _ in rows), name_of_class),
            wrong=tuple(sorted(wrong, key=lambda each: (-each.confidence, each.number))),
            images=batches.images,
            first=int(found.numbers[0]),
        )

    @property
    def example(self) -> str:
        """The file of the first test image; its number where it has none."""
        return name_in(self.images, self.first)

    def confused(self) -> list[tuple[ClassRow, str, int]]:
        """Each class with another that its images are taken for, and how many of them; most first."""
        pairs = [(row, answer, count) for row in self.classes for answer, count in row.answers]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0].images))

    def pixels(self, wrong: Sequence[Wrong]) -> Tensor:
        """Pixels `[N, C, H, W]` in [0, 1] of wrong images, as the model sees them."""
        return pixels_in(self.images, [each.number for each in wrong])

    def write_wrong(self, directory: Path) -> Path:
        """Writes a table of the wrong images.

        Raises:
            CheckpointError: If it cannot be written.
        """
        rows = [(*each[:3], f"{each.confidence:.4f}") for each in self.wrong]
        write_table(directory / WRONG, [("image", "label", "answer", "confidence"), *rows])
        return directory / WRONG

    def write_example(self, directory: Path) -> Path | None:
        """Writes the first test image as the model sees it; None if it has neither 1 channel nor 3.

        Raises:
            OSError: If it cannot be written, or the image cannot be read.
        """
        [pixels] = (pixels_in(self.images, [self.first]) * 255).round().byte()
        if len(pixels) not in (1, 3):
            return None
        to_pil_image(pixels).save(directory / EXAMPLE)
        return directory / EXAMPLE


def _rows(pairs: Counter[tuple[int, int]], name_of_class: Callable[[int], str]) -> tuple[ClassRow, ...]:
    images: Counter[int] = Counter()
    others: dict[int, list[tuple[str, int]]] = {}
    for (label, answer), count in pairs.most_common():
        images[label] += count
        if answer != label:
            others.setdefault(label, []).append((name_of_class(answer), count))
    return tuple(
        ClassRow(name_of_class(label), images[label], pairs[label, label], tuple(others.get(label, ())))
        for label in sorted(images)
    )


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
