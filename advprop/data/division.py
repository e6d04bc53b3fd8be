"""A folder of class folders without splits, divided into images to train on and images to test on."""

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from advprop.data.image_files import printable
from advprop.data.natural_order import in_natural_order
from advprop.runtime import brief, rank_and_ranks

logger: logging.Logger = logging.getLogger(__name__)

_LARGEST = 2**64


@dataclass(frozen=True)
class Division:
    """Which images of a folder are for training and which for testing.

    Args:
        train: Paths in the folder of the training images, in natural order.
        test: Paths of the test images.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]


def read_division(path: Path) -> Division:
    """The division that a run keeps in a file.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Division(train=tuple(kept["train"]), test=tuple(kept["test"]))
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} must have the lists train and test of the run's images, and is damaged "
            f"({brief(error)}); restore it from a copy, or begin a new run (--out)"
        ) from error


def divide(files: Sequence[str], share: float, seed: int) -> Division:
    """Divides the images of each class by a number that follows from the seed and the path of each.

    So images that are added later move no others. Each class has at least one image on either side.

    Args:
        files: Paths in the folder, which begin with the folder of the class.
        share: Share of the images that are for testing, over 0 and under 1.
        seed: Another seed divides them otherwise.

    Raises:
        ValueError: If a class has a single image.

    Examples:
        >>> from advprop.data.division import divide
        >>> files = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(50)]
        >>> found = divide(files, share=0.2, seed=0)
        >>> len(found.train), len(found.test)
        (79, 21)
    """
    classes: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for file in files:
        classes[file.partition("/")[0]].append((_number(file, seed), file))
    test: set[str] = set()
    for name, images in classes.items():
        if len(images) < 2:
            raise ValueError(
                f"each class needs an image to train on and one to test on, got {len(images)} image in "
                f"{name}; add some, or take the folder out"
            )
        ranked = sorted(images)
        count = sum(number < share * _LARGEST for number, _ in ranked)
        test.update(file for _, file in ranked[: min(max(count, 1), len(ranked) - 1)])
    return Division(
        train=tuple(in_natural_order(file for file in files if file not in test)),
        test=tuple(in_natural_order(test)),
    )


def twins(root: Path, division: Division) -> Iterator[tuple[str, str]]:
    """The test images that are training images, too, under another name: (test image, training image)."""
    train, test = (
        {file: (root / file).stat().st_size for file in files if (root / file).is_file()}
        for files in (division.train, division.test)
    )
    sizes = {*train.values()} & {*test.values()}
    of_digest = {_digest(root / file): file for file in reversed(train) if train[file] in sizes}
    for file in (each for each in test if test[each] in sizes):
        if twin := of_digest.get(_digest(root / file)):
            yield file, twin


def report_division(root: Path, division: Division, share: float, seed: int) -> None:
    """Logs how a folder was divided, and which images are on both sides; once over all ranks."""
    if rank_and_ranks(all_ranks=True)[0]:
        return
    logger.info(
        "%s has no folders for splits: %d of its %d images are for testing (test_share %g, seed %d)",
        *(root, len(division.test), len(division.train) + len(division.test), share, seed),
    )
    alike = [f"{printable(one)} is {printable(other)}" for one, other in twins(root, division)]
    if alike:
        logger.warning(
            "%d test images are training images, too, and make the accuracy look better than it is: %s",
            *(len(alike), ", ".join(alike[:3] + ["..."] * (len(alike) > 3))),
        )


def _number(file: str, seed: int) -> int:
    """A number below 2 ** 64 that is as good as random."""
    text = f"{seed}/".encode() + os.fsencode(file)
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
