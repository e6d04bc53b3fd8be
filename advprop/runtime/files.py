"""Files that another process may be reading: Windows lets nobody replace or delete them meanwhile."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0) if os.name == "nt" else ()


def patiently(action: Callable[[], Result]) -> Result:
    """Replaces or deletes a file; on Windows again and again, for some two seconds, while it is in use.

    Raises:
        OSError: If it cannot be done.
    """
    for pause in _PAUSES:
        try:
            return action()
        except PermissionError:
            time.sleep(pause)
    return action()
