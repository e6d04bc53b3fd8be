"""Where the splits of a folder are: in folders or archives of their names, or in one folder for both."""

import logging
import os
from itertools import islice
from pathlib import Path

from advprop.data.class_folders import FolderImages, open_folders
from advprop.data.division import Division, divide, report_division
from advprop.data.image_tree import find_image_files, is_of_a_system
from advprop.recipes import DataSettings
from advprop.runtime import rank_and_ranks

logger: logging.Logger = logging.getLogger(__name__)

_SYNONYMS = {"train": ("training",), "validation": ("val", "valid", "eval", "test")}


def names_of(split: str) -> tuple[str, ...]:
    """What the folder, the archive or the shards of a split may be called, the likeliest first."""
    return (split, *_SYNONYMS.get(split, ()))


def folder_of(root: Path, split: str) -> Path:
    """The folder or the archive of a split.

    Raises:
        ValueError: If there is none, or a file that is no archive.
    """
    if not root.is_dir():
        raise ValueError(
            f"{root} must be a folder with the folders or archives of the splits, and is a file; give the "
            "folder that has a folder of images for each class"
        )
    names = names_of(split)
    for name in names:
        for path in (root / name, root / f"{name}.tar"):
            if path.is_file() and path.suffix.lower() != ".tar":
                raise ValueError(
                    f"{path} must be a folder or a tar file, and is another file; put a folder with a folder "
                    "for each class in its place"
                )
            if path.exists():
                return path
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
    raise ValueError(f"{root} has no folder {' or '.join(names)}; it has {there}; {_way_out(root, split)}")


def _way_out(root: Path, split: str) -> str:
    """What to do about a folder that lacks a split."""
    folders = [each.name for each in root.iterdir() if each.is_dir() and not is_of_a_system(each.name)]
    if not folders:
        return "put the images into a folder for each class"
    known = {split, *_SYNONYMS, *(name for names in _SYNONYMS.values() for name in names)}
    whole = [name for name in folders if name in known]
    alone = f", or give {root / whole[0]} alone, of which a part is for testing" if len(whole) == 1 else ""
    return f"add one with a folder for each class{alone}"


def is_undivided(data: DataSettings) -> bool:
    """Whether the data are a folder of folders, none of which, and no archive, is called as a split."""
    root = Path(data.data).expanduser()
    if not root.is_dir() or not any(
        each.is_dir() and not is_of_a_system(each.name) for each in root.iterdir()
    ):
        return False
    names = (*names_of(data.train_split), *names_of(data.test_split))
    return not any((root / f"{name}{ending}").exists() for name in names for ending in ("", ".tar"))


def count_few(data: DataSettings, seed: int, most: int) -> int | None:
    """The number of training images of a folder of class folders, for defaults that depend on it.

    Args:
        data: Which folder, and how it is divided.
        seed: Divides a folder without splits.
        most: Up to how many images are few; more are not counted.

    Returns:
        None for other data, for more images, and where opening the data will say what is wrong.
    """
    root = Path(data.data).expanduser()
    try:
        undivided = is_undivided(data)
        folder = root if undivided else folder_of(root, data.train_split)
        there = (file for _, _, several in os.walk(folder, followlinks=True) for file in several)
        if not folder.is_dir() or next(islice(there, 2 * most, None), None) is not None:
            return None  # a single file, or more files than few images come with
        files = [file for file in find_image_files(folder).files if "/" in file]
        if undivided:
            files = list(divide(files, data.test_share, seed).train)
    except (OSError, ValueError):
        return None
    return len(files) if 0 < len(files) <= most else None


def divided(
    data: DataSettings, seed: int, division: Division | None
) -> tuple[FolderImages, FolderImages, Division]:
    """The training images and the test images of a folder without splits, and which they are.

    Args:
        data: Which folder, and the share of the images that are for testing.
        seed: Decides which those are.
        division: Which they are, for a run that has begun.

    Raises:
        ValueError: If the folder has no images, a class has too few, or one of the run's images is gone.
    """
    root = Path(data.data).expanduser()
    whole = open_folders(root, every_class=data.classes is None)
    if division is None:
        division = divide(whole.files, data.test_share, seed)
        report_division(root, division, data.test_share, seed)
    return whole.only(division.train), whole.only(division.test), division


def tested(data: DataSettings, division: Division | None) -> FolderImages:
    """The test images of a folder without splits: those of a run's division; without one, all of them.

    That it is all is written to the log: a model that was trained on some of them looks better than it is.

    Raises:
        ValueError: If the folder has no images, or one of the run's images is gone.
    """
    whole = open_folders(Path(data.data).expanduser(), every_class=False)
    if division is not None:
        return whole.only(division.test)
    if rank_and_ranks(all_ranks=True)[0] == 0:
        logger.warning(
            "%s has no folders for splits: all of its %d images are tested, also those that the model may "
            "have been trained on",
            *(data.data, len(whole)),
        )
    return whole
