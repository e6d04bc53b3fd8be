"""Shards of WebDataset, read at random: tar files of `KEY.jpg` beside `KEY.cls`, the number of the class.

WebDataset itself reads shards as streams, in an order that no run could take up again in its middle. Here
the places of all images are noted first, so that each is read by its number, as from a folder.
"""

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np

from advprop.data.image_files import ENDINGS
from advprop.runtime import need_extra


class Shards:
    """The images of some shards by number, as timm's readers give them.

    Args:
        paths: The tar files, not compressed.

    Raises:
        ValueError: If there are none, one cannot be read, or an image in it has no label.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        found = [(number, *each) for number, path in enumerate(paths) for each in _samples(path)]
        if not found:
            raise ValueError(f"there are no images in the shards {', '.join(map(str, paths))}")
        self._places = np.array(found, dtype=np.int64)

    @property
    def targets(self) -> np.ndarray:
        """The class of each image `[N]`."""
        return self._places[:, 3]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> tuple[io.BytesIO, int]:
        shard, start, size, label = map(int, self._places[number])
        with self.paths[shard].open("rb") as file:
            file.seek(start)
            return io.BytesIO(file.read(size)), label

    def filename(self, number: int, basename: bool = False, absolute: bool = False) -> str:
        """The shard and the name in it; this looks through the shard."""
        shard, start, *_ = self._places[number]
        with tarfile.open(self.paths[shard], "r:") as archive:
            name = next(each.name for each in archive if each.offset_data == start)
        return PurePosixPath(name).name if basename else f"{self.paths[shard]}/{name}"


def find_shards(folder: Path, names: Sequence[str]) -> list[Path]:
    """The shards of a split, in order.

    Args:
        folder: Where the shards are.
        names: Names of the split, the likeliest first: a folder with tar files, a word in their names
            (`imagenet1k-train-0000.tar`), or a pattern such as `train-*.tar` or `train-{0000..0099}.tar`.

    Raises:
        ValueError: If there are none.
        MissingExtraError: If a pattern has braces and webdataset is not installed.
    """
    for name in names:
        if "{" in name:
            found = [folder / each for each in _expanded(name)]
            missing = [path for path in found if not path.is_file()]
            if missing:
                raise ValueError(f"{len(missing)} of {len(found)} shards are missing: {missing[0]} ...")
        elif "*" in name:
            found = sorted(folder.glob(name))
        elif not (found := sorted((folder / name).glob("*.tar"))):
            word = re.compile(rf"(?<![a-z]){re.escape(name)}(?![a-z])", re.IGNORECASE)
            found = [path for path in sorted(folder.glob("*.tar")) if word.search(path.stem)]
        if found:
            return found
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise ValueError(f"{folder} has no shards of {' or '.join(names)}; it has {there}")


def _expanded(pattern: str) -> list[str]:
    need_extra("wds", "webdataset")
    from webdataset.shardlists import expand_urls

    return list(expand_urls(pattern))


def _samples(path: Path) -> Iterator[tuple[int, int, int]]:
    """Where each image of a shard begins, its length in bytes, and its label."""
    try:
        with tarfile.open(path, "r:") as archive:
            for _, members in groupby(filter(tarfile.TarInfo.isfile, archive), lambda each: _key(each)[0]):
                image = label = None
                for member in members:
                    ending = _key(member)[1]
                    if ending == "cls" and (file := archive.extractfile(member)):
                        label = int(file.read())
                    elif f".{ending.lower()}" in ENDINGS:
                        image = member
                if image and label is None:
                    raise ValueError(
                        f"{image.name} has no label, a file of the same name with the ending .cls"
                    )
                if image and label is not None:
                    yield image.offset_data, image.size, label
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"cannot read the shard {path}: {error}") from error


def _key(member: tarfile.TarInfo) -> tuple[str, str]:
    """What the files of a sample have in common, and the ending of this one."""
    folder, _, name = member.name.rpartition("/")
    stem, _, ending = name.partition(".")
    return f"{folder}/{stem}", ending
