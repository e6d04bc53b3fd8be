"""Shards of WebDataset, read at random: tar files of `KEY.jpg` beside `KEY.cls`, the number of the class.

WebDataset itself reads shards as streams, in an order that no run could take up again in its middle. Here
the places of all images are noted first, so that each is read by its number, as from a folder.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from advprop.data.archives import ArchivedImages, Member, members
from advprop.data.image_files import ENDINGS
from advprop.data.image_tree import LeftOut, Listing
from advprop.runtime import need_extra


def open_shards(paths: Sequence[Path]) -> ArchivedImages:
    """Opens the images of some shards, which are tar files that are not compressed.

    Raises:
        ValueError: If there are no images, a shard cannot be read, or an image in it has no label.
    """
    left_out = LeftOut()
    found: list[tuple[int, Member, int]] = []
    told = Listing(paths[0].parent)
    for number, path in enumerate(paths):
        found += [(number, *each) for each in _samples(path, left_out)]
        told.found(len(found))
    left_out.report(paths[0].parent)
    if not found:
        raise ValueError(f"there are no images in the shards {', '.join(map(str, paths))}")
    return ArchivedImages(paths, found)


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
            need_extra("wds")
            from webdataset.shardlists import expand_urls

            found = [folder / each for each in expand_urls(name)]
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


def _samples(path: Path, left_out: LeftOut) -> Iterator[tuple[Member, int]]:
    """The images of a shard, each with its label."""
    with path.open("rb") as shard:
        for _, sample in groupby(members(path), lambda each: _key(each)[0]):
            files = {_key(each)[1].lower(): each for each in sample}
            images = [ending for ending in files if f".{ending}" in ENDINGS]
            if not images:
                for ending in files.keys() - {"cls"}:
                    left_out.count(f"x.{ending}")
            elif label := files.get("cls"):
                shard.seek(label.start)
                yield files[images[-1]], _label(path, shard.read(label.size))
            else:
                raise ValueError(
                    f"cannot read the shard {path}: {files[images[-1]].name} has no label, a file of the "
                    "same name with the ending .cls"
                )


def _label(path: Path, text: bytes) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"cannot read the shard {path}: {error}") from error


def _key(member: Member) -> tuple[str, str]:
    """What the files of a sample have in common, and the ending of this one."""
    folder, _, name = member.name.rpartition("/")
    stem, _, ending = name.partition(".")
    return f"{folder}/{stem}", ending
