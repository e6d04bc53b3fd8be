"""Many file names in one piece of memory."""

import os
from collections.abc import Sequence
from typing import overload

import numpy as np


class Names(Sequence[str]):
    """File names that processes share without a copy: a million strings would be copied as they are read.

    Args:
        names: The names.

    Examples:
        >>> from advprop.data.names import Names
        >>> Names(["cat/1.png", "dog/1.png"])[1]
        'dog/1.png'
    """

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    @property
    def encoded(self) -> bytes:
        """All names and where each ends."""
        return self._bytes + self._ends.astype("<i8").tobytes()

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        return os.fsdecode(self._bytes[self._ends[number] : self._ends[number + 1]])
