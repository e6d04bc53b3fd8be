"""The list of a large folder's images, kept in the user's cache for as long as no folder of it changes."""

import hashlib
import json
import logging
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from advprop.data.image_files import ENDINGS
from advprop.data.image_tree import ImageTree, LeftOut, find_image_files, state_of
from advprop.runtime import rank_and_ranks

logger: logging.Logger = logging.getLogger(__name__)

_LARGE = 20_000  # images; fewer are found at once
_SETTLED = 10.0  # seconds; a folder that has changed later may change again without another time stamp


def listed(root: Path) -> ImageTree:
    """The images of a folder: as they were listed before, if no folder has changed since, or found anew.

    A list is kept for large folders, in `advprop/lists/` of the user's cache (`$XDG_CACHE_HOME`, by default
    `~/.cache`). It holds for each folder its inode and the times of its last changes, down to nanoseconds;
    adding, removing or renaming anything in a folder changes them, and then the list is not used. Where the
    cache cannot be read or written, the images are found each time.

    Raises:
        OSError: If a folder cannot be read.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    file = cache / "advprop" / "lists" / f"{place}.json"
    if (known := _read(file, root)) is not None:
        return known
    began = time.time()
    tree = find_image_files(root)
    changed = max((max(times) for _, *times in tree.states.values()), default=math.inf) / 1e9
    is_settled = changed < began - _SETTLED
    if len(tree.files) >= _LARGE and is_settled and rank_and_ranks(all_ranks=True)[0] == 0:
        _write(file, tree)
    return tree


def _read(file: Path, root: Path) -> ImageTree | None:
    """The list in a file, if it is one of this version and holds."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="ascii"))
        if kept["endings"] != list(ENDINGS) or not kept["states"]:
            return None
        for folder, state in kept["states"].items():
            if list(state_of((root / folder).stat())) != state:
                return None
        left_out = LeftOut(**kept["left_out"])
        left_out.files, left_out.hidden = Counter(left_out.files), Counter(left_out.hidden)
        return ImageTree(kept["files"], kept["folders"], left_out, kept["states"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _write(file: Path, tree: ImageTree) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = vars(tree) | {"left_out": vars(tree.left_out), "endings": ENDINGS}
        partial.write_text(json.dumps(kept), encoding="ascii")
        partial.replace(file)
    except OSError as error:
        logger.info("the list of %s images is not kept for the next start: %s", f"{len(tree.files):,}", error)
