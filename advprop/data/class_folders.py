"""Images whose class is the folder at the top: in a folder of class folders, or in tar files of either."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BufferedReader, FileIO
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np

from advprop.data.archives import ArchivedImages, Member, members, packed
from advprop.data.image_files import ENDINGS, class_of, printable
from advprop.data.image_tree import LeftOut, Listing, is_of_a_system
from advprop.data.kept_lists import listed
from advprop.data.natural_order import natural_order


class FolderImages:
    """The images of a folder by number, as timm's readers give them; paths begin with the class folder."""

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self.root = root
        self.names: np.ndarray = packed(files)
        self.class_to_idx: dict[str, int]
        self.targets: np.ndarray
        self.class_to_idx, self.targets = _numbered([file.partition("/")[0] for file in files])

    def only(self, files: Sequence[str]) -> FolderImages:
        """Some of the images.

        Raises:
            ValueError: If one of them is not there.
        """
        known = set(self.files)
        if gone := [file for file in files if file not in known]:
            raise ValueError(
                f"a run keeps to the images that it began with, and {len(gone)} of {len(files)} are not in "
                f"{self.root} any more: {printable(gone[0])}"
            )
        return FolderImages(self.root, files)

    @property
    def files(self) -> list[str]:
        """The paths of all images in the folder."""
        return [os.fsdecode(name) for name in self.names.tolist()]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[IO[bytes], int]:
        # A path would keep a copy of the name in each process that reads: Python interns its parts.
        file = BufferedReader(FileIO(f"{self.root}/{os.fsdecode(self.names[number])}"))
        return file, int(self.targets[number])

    def filename(self, number: int, absolute: bool = False) -> str:
        """The path of an image: the whole of it, or in the folder."""
        name = os.fsdecode(self.names[number])
        return str(self.root / name) if absolute else name


def open_class_folders(path: Path, every_class: bool) -> FolderImages | ArchivedImages:
    """Opens a folder of class folders, a folder of a tar file for each class, or a tar file of either.

    The class of an image is the first folder on the way to it, whatever lies deeper. What is left out is
    written to the log.

    Raises:
        ValueError: If there are no images in class folders, or `every_class` must have some and one has none.
    """
    archives = [path] if path.is_file() else _archives_in(path)
    return _in_archives(path, archives) if archives else open_folders(path, every_class)


def open_folders(path: Path, every_class: bool) -> FolderImages:
    """Opens a folder of class folders, as `open_class_folders` does."""
    tree = listed(path)
    tree.left_out.beside = [file for file in tree.files if "/" not in file]
    tree.left_out.report(path)
    found = FolderImages(path, [file for file in tree.files if "/" in file])
    _check_any(path, len(found))
    empty = sorted({class_of(folder) for folder in tree.folders} - found.class_to_idx.keys())
    if empty and every_class:
        raise ValueError(f"the class {path / empty[0]} has no images; remove the folder, or fill it")
    return found


def _check_any(path: Path, count: int) -> None:
    if not count:
        raise ValueError(
            f"{path} must have a folder with images for each class, and there are no images in its folders"
        )


def _archives_in(path: Path) -> list[Path]:
    """The tar files of a folder that has no class folders."""
    inside = [each for each in path.iterdir() if not is_of_a_system(each.name)]
    if any(each.is_dir() for each in inside):
        return []
    return sorted(each for each in inside if each.suffix.lower() == ".tar")


class _Found(NamedTuple):
    """An image in an archive."""

    archive: int
    member: Member
    inside: list[str]  # the folders on the way to it, and its name


def _in_archives(path: Path, archives: Sequence[Path]) -> ArchivedImages:
    left_out = LeftOut()
    found: list[_Found] = []
    told = Listing(path)
    for number, archive in enumerate(archives):
        above = [archive.stem] if path.is_dir() else []
        for member in members(archive):
            inside = list(PurePosixPath(member.name).parts)
            if hidden := next(filter(is_of_a_system, inside), None):
                left_out.hidden[hidden] += 1
            elif PurePosixPath(member.name).suffix.lower() not in ENDINGS:
                left_out.count(inside[-1])
            else:
                found.append(_Found(number, member, above + inside))
                told.found(len(found))
    found = _below_the_common(sorted(found))  # by archive, and by whole names in it
    left_out.beside = [each.member.name for each in found if len(each.inside) == 1]
    left_out.report(path)
    kept = [each for each in found if len(each.inside) > 1]
    _check_any(path, len(kept))
    class_to_idx, targets = _numbered([each.inside[0] for each in kept])
    placed = [(each.archive, each.member, int(label)) for each, label in zip(kept, targets, strict=True)]
    return ArchivedImages(archives, placed, class_to_idx)


def _below_the_common(found: list[_Found]) -> list[_Found]:
    """The images without the folders that an archive was made of, those that all of them share."""
    while len({each.inside[0] for each in found}) == 1 and any(len(each.inside) > 2 for each in found):
        found = [each._replace(inside=each.inside[1:]) for each in found]
    return found


def _numbered(folders: Sequence[str]) -> tuple[dict[str, int], np.ndarray]:
    """The label of each class by name, in natural order, and that of each image by its class folder."""
    names = {folder: class_of(folder) for folder in set(folders)}
    labels = {name: label for label, name in enumerate(sorted(set(names.values()), key=natural_order))}
    return labels, np.array([labels[names[folder]] for folder in folders], dtype=np.int64)
