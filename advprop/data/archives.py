"""Images in tar files: their places are noted once, then each is read by its number, as from a folder."""

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np


class Member(NamedTuple):
    """A file in an archive: its name, and where its bytes are."""

    name: str
    start: int
    size: int


class ArchivedImages:
    """Images in archives by number, as timm's readers give them.

    Args:
        archives: The tar files, not compressed.
        found: Of each image the number of its archive, its place and its label.
        class_to_idx: The label of each class by name, where classes have names.
    """

    def __init__(
        self,
        archives: Sequence[Path],
        found: Sequence[tuple[int, Member, int]],
        class_to_idx: dict[str, int] | None = None,
    ) -> None:
        self.archives: list[Path] = list(archives)
        self.class_to_idx: dict[str, int] = class_to_idx or {}
        self.names: np.ndarray = packed(
            f"{archives[number].name}/{member.name}" for number, member, _ in found
        )
        self.targets: np.ndarray = np.array([label for *_, label in found], dtype=np.int64)
        places = [(number, member.start, member.size) for number, member, _ in found]
        self._places = np.array(places, dtype=np.int64).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[IO[bytes], int]:
        archive, start, size = map(int, self._places[number])
        with self.archives[archive].open("rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(size)), int(self.targets[number])

    def filename(self, number: int, absolute: bool = True) -> str:
        """The archive and the name in it."""
        return str(self.archives[self._places[number, 0]].parent / os.fsdecode(self.names[number]))


def packed(names: Iterable[str]) -> np.ndarray:
    """File names as one array of bytes, which processes share: strings would be copied as they are read."""
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)


def members(path: Path) -> Iterator[Member]:
    """The files of a tar file that is not compressed; those of a tar file in it have its name for a folder.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from _members(file)
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"cannot read the archive {path}: {error}") from error


def _members(file: IO[bytes], start: int = 0, folder: str = "") -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for each in filter(tarfile.TarInfo.isreg, archive):
            inside = Member(folder + each.name, start + each.offset_data, each.size)
            nested = archive.extractfile(each) if each.name.lower().endswith(".tar") else None
            if nested:
                yield from _members(nested, inside.start, f"{inside.name[:-4]}/")
            else:
                yield inside
