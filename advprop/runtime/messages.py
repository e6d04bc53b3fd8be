"""Words of error messages."""

import difflib
from collections.abc import Collection, Iterable


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of an error message: the known names that are nearest to a wrong one.

    Where none is near, it is the text `otherwise`, or by default all of the names.
    """
    names = {each.lower(): each for each in known}
    near = [names[each] for each in difflib.get_close_matches(name.lower(), names, n=2)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return otherwise or f"there are {', '.join(names.values())}"


def first_of(names: Collection[object]) -> str:
    """The first five of some names, and how many more there are.

    Examples:
        >>> from advprop.runtime import first_of
        >>> first_of("abcdefg")
        'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join([*map(str, names)][:5]) + more
