"""The image files under a folder: every one once, in one order, and what was left out."""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from advprop.data.image_files import ENDINGS, HEIC, HEIC_EXTRA, printable
from advprop.data.natural_order import in_natural_order
from advprop.runtime import first_of, rank_and_ranks

logger: logging.Logger = logging.getLogger(__name__)

# Folders that systems leave beside images: thumbnails, checkpoints, parts of an archive. Names that begin
# with a dot are left out, too.
_OF_SYSTEMS = frozenset({"@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
_FIRST = 2.0  # seconds; a search that takes less says nothing
_NEXT = 10.0


def is_of_a_system(name: str) -> bool:
    """Whether a file or folder of this name was left by a system or a program, beside the images."""
    return name.startswith(".") or name in _OF_SYSTEMS


class Listing:
    """Logs now and then how many images were found in a place, once over all ranks."""

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self.due: float = time.monotonic() + _FIRST

    def found(self, count: int) -> None:
        """So many were found so far."""
        if time.monotonic() > self.due:
            self.due = time.monotonic() + _NEXT
            if rank_and_ranks(all_ranks=True)[0] == 0:
                logger.info("looking for images in %s: %s so far", self.place, f"{count:,}")


@dataclass
class LeftOut:
    """What is no image of a data set although it is in its folder."""

    files: Counter[str] = field(default_factory=Counter)  # by ending
    hidden: Counter[str] = field(default_factory=Counter)  # by name
    links: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)

    def count(self, file: str) -> None:
        """Counts a file that is no image."""
        self.files[PurePath(file).suffix.lower() or file] += 1

    def report(self, place: Path | str) -> None:
        """Logs what was left out of a place, once over all ranks."""
        if (told := str(self)) and rank_and_ranks(all_ranks=True)[0] == 0:
            logger.warning("left out of %s: %s", place, told)

    def __str__(self) -> str:
        told = []
        if self.files:
            heic = f"; HEIC needs {HEIC_EXTRA}" if self.files.keys() & {*HEIC} else ""
            told.append(f"{_many(self.files.total(), 'file')} of other kinds ({_counts(self.files)}{heic})")
        if self.hidden:
            told.append(f"what systems left ({_counts(self.hidden)})")
        for paths, kind, where in (
            (self.links, "link", "to what is there already"),
            (self.beside, "image", "in no class folder"),
        ):
            if paths:
                told.append(f"{_many(len(paths), kind)} {where} ({first_of([*map(printable, paths)])})")
        return ", ".join(told)


@dataclass
class ImageTree:
    """The images under a folder.

    Args:
        files: Their paths in the folder, in natural order.
        folders: The folders at its top, with images or without.
        left_out: What else is there.
        states: What changes of each folder that was looked into when anything in it is added, taken out or
            renamed. Empty where a link to a file may change without that.
    """

    files: list[str]
    folders: list[str]
    left_out: LeftOut
    states: dict[str, tuple[int, ...]] = field(default_factory=dict)


def find_image_files(root: Path | str) -> ImageTree:
    """Finds the images of a folder and its folders. Links are followed, and each file counts once.

    Files that are there come before those that a link leads to, whatever they are called: a link to another
    class, or back up the tree, takes nothing away from that class.

    Raises:
        OSError: If a folder cannot be read.
    """
    left_out = LeftOut()
    files: list[str] = []
    file_links: list[str] = []
    waiting = deque([""])  # folders that are there, before those that a link leads to
    top: list[str] = []
    seen: set[tuple[int, int] | Path] = set()
    states: dict[str, tuple[int, ...]] = {}
    told = Listing(root)
    real: set[Path] = set()
    while waiting:
        folder = waiting.popleft()
        path = Path(root, folder)
        state = path.stat()
        states[folder] = state_of(state)
        # Some file systems of Windows number no files.
        if (place := (state.st_dev, state.st_ino) if state.st_ino else path.resolve()) in seen:
            left_out.links.append(folder)
            continue
        seen.add(place)
        real.add(path.resolve())
        for entry in sorted(os.scandir(path), key=lambda each: each.name):
            inside = f"{folder}/{entry.name}" if folder else entry.name
            if is_of_a_system(entry.name):
                left_out.hidden[entry.name] += 1
            elif entry.is_dir():
                (waiting.append if entry.is_symlink() else waiting.appendleft)(inside)
                top += [] if folder else [entry.name]
            elif not entry.name.lower().endswith(ENDINGS):
                left_out.count(entry.name)
            else:
                (file_links if entry.is_symlink() else files).append(inside)
        told.found(len(files) + len(file_links))
    files += _first_of_each(root, file_links, real, left_out)
    return ImageTree(in_natural_order(files), top, left_out, {} if file_links else states)


def state_of(state: os.stat_result) -> tuple[int, ...]:
    """What changes of a folder when anything in it is added, taken out or renamed."""
    return state.st_ino, state.st_mtime_ns, state.st_ctime_ns


def _first_of_each(root: Path | str, links: Iterable[str], real: set[Path], left_out: LeftOut) -> list[str]:
    """The links to files that are in none of the folders, one for each file."""
    found: dict[Path, str] = {}
    for link in in_natural_order(links):
        target = Path(root, link).resolve()
        if target.parent in real or target in found:
            left_out.links.append(link)
        else:
            found[target] = link
    return list(found.values())


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {printable(name)}" for name, count in counts.most_common(8))
