"""The order of timm's readers, by which classes and images are numbered: digits in names count as numbers."""

import re
from collections import defaultdict
from collections.abc import Iterable

_DIGITS = "0123456789"


def natural_order(name: str) -> tuple[list[int | str], str]:
    """The key of timm's natural order, which published checkpoints follow; the name itself breaks ties.

    Examples:
        >>> from advprop.data.natural_order import natural_order
        >>> sorted(["class10", "a", "class2", "Banana", "A"], key=natural_order)
        ['A', 'a', 'Banana', 'class2', 'class10']
    """
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if part.isdecimal() else part for part in parts], name


def in_natural_order(paths: Iterable[str]) -> list[str]:
    """Paths sorted by `natural_order`, several times faster where the files of a folder have similar names.

    Folders are sorted first, and the files of each among themselves. That is the same order, unless the path
    of a folder is the beginning of another's, as of `cat/` and `cat/night/`: those are sorted together.

    Examples:
        >>> from advprop.data.natural_order import in_natural_order
        >>> in_natural_order(["b/cat_10.png", "b/cat_9.png", "a/x.png"])
        ['a/x.png', 'b/cat_9.png', 'b/cat_10.png']
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, slash, name = path.rpartition("/")
        folders[folder + slash].append(name)
    groups: list[tuple[list[int | str], list[str]]] = []
    for (parts, _), folder in sorted((natural_order(folder), folder) for folder in folders):
        if groups and _begins(parts, groups[-1][0]):
            groups[-1][1].append(folder)
        else:
            groups.append((parts, [folder]))
    return [path for _, group in groups for path in _of_folders(group, folders)]


def _begins(parts: list[int | str], beginning: list[int | str]) -> bool:
    """Whether a path, in parts, begins with another, which ends in text."""
    *before, last = beginning
    at = len(before)
    return parts[:at] == before and str(parts[at]).startswith(str(last))


def _of_folders(group: list[str], names: dict[str, list[str]]) -> list[str]:
    """The paths of the files of some folders in natural order."""
    if len(group) > 1:
        return sorted((folder + name for folder in group for name in names[folder]), key=natural_order)
    return [group[0] + name for name in _names_in_order(names[group[0]])]


def _names_in_order(names: list[str]) -> list[str]:
    """The names of a folder's files in natural order; fast where they differ in one number alone."""
    lower = [name.lower() for name in names]
    low, high = min(lower), max(lower)  # what these two begin with, all do
    same = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    start = low[:same].rstrip(_DIGITS)
    ending = lower[0][len(start) :].lstrip(_DIGITS)
    numbers = [name[len(start) : len(name) - len(ending)] for name in lower]
    like = start.isascii() and ending.isascii() and all(name.endswith(ending) for name in lower)
    if like and all(number.isascii() and number.isdecimal() for number in numbers):
        return [name for _, name in sorted(zip(map(int, numbers), names, strict=True))]
    return sorted(names, key=natural_order)
