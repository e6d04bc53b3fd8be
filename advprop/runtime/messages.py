"""Words of messages: names, commands, durations, and what an error says."""

import difflib
import os
import shlex
import subprocess
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


def brief(error: BaseException) -> str:
    r"""What an error says, in a line of at most 300 characters; with its name, where that alone says nothing.

    Examples:
        >>> from advprop.runtime import brief
        >>> brief(ValueError("no such\nsize")), brief(KeyError("bn1")), brief(AssertionError())
        ('no such size', "KeyError 'bn1'", 'AssertionError')
    """
    said = " ".join(str(error).split())[:300]
    return said if said and not isinstance(error, KeyError) else f"{type(error).__name__} {said}".rstrip()


def shell_word(text: object, windows: bool = os.name == "nt") -> str:
    r"""A text as a word of a command that is shown, such as a path: in quotes where the shell wants them.

    Args:
        text: The text.
        windows: Whether the shell is that of Windows, to which a backslash is nothing special.

    Examples:
        >>> from advprop.runtime import shell_word
        >>> shell_word("my runs/cat", windows=False), shell_word(r"my runs\cat", windows=True)
        ("'my runs/cat'", '"my runs\\cat"')
    """
    return subprocess.list2cmdline([str(text)]) if windows else shlex.quote(str(text))


def duration(seconds: float) -> str:
    """A duration as a person says it, in its two largest units.

    Examples:
        >>> from advprop.runtime import duration
        >>> duration(7.4), duration(200), duration(7800), duration(300_000)
        ('7 s', '3 min 20 s', '2 h 10 min', '3 d 11 h')
    """
    left = max(0, round(seconds))
    if left >= 86_400:
        left = round(left / 3600) * 3600
    elif left >= 3600:
        left = round(left / 60) * 60
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts += [f"{count} {unit}"] * bool(count)
    return " ".join(parts[:2]) or "0 s"
