"""Whether a folder has few training images, known before it is opened, for the defaults of a run."""

import os
from itertools import islice
from pathlib import Path

from advprop.data.division import divide
from advprop.data.image_tree import find_image_files
from advprop.data.splits import folder_of, is_undivided
from advprop.recipes import DataSettings


def count_few(data: DataSettings, seed: int, most: int) -> int | None:
    """The number of training images of a folder of class folders.

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
        if not folder.is_dir() or _has_more_files(folder, 2 * most):
            return None
        files = [file for file in find_image_files(folder).files if "/" in file]
        if undivided:
            files = list(divide(files, data.test_share, seed).train)
    except (OSError, ValueError):
        return None
    return len(files) if 0 < len(files) <= most else None


def _has_more_files(folder: Path, most: int) -> bool:
    """Whether there are more files than a number; it looks at no more than it must."""
    files = (file for _, _, several in os.walk(folder, followlinks=True) for file in several)
    return next(islice(files, most, None), None) is not None
