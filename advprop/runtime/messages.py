"""Words of error messages."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the known names that are nearest to a wrong one, or all of them."""
    names = {each.lower(): each for each in known}
    near = [names[each] for each in difflib.get_close_matches(name.lower(), names, n=2)]
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names.values())}"
