"""Words of error messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of an error message: the known names that are nearest to a wrong one.

    Where none is near, it is the text `otherwise`, or by default all of the names.
    """
    names = {each.lower(): each for each in known}
    near = [names[each] for each in difflib.get_close_matches(name.lower(), names, n=2)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return otherwise or f"there are {', '.join(names.values())}"
