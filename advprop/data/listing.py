"""What a long search for images says meanwhile."""

import logging
import time
from pathlib import Path

from advprop.runtime import rank_and_ranks

logger: logging.Logger = logging.getLogger(__name__)

_FIRST = 2.0  # seconds; what takes less says nothing
_NEXT = 10.0


class Listing:
    """Logs now and then how many images were found, once over all ranks.

    Args:
        place: Where they are looked for.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self.due: float = time.monotonic() + _FIRST

    def found(self, count: int) -> None:
        """So many were found so far."""
        if time.monotonic() > self.due:
            self.due = time.monotonic() + _NEXT
            if rank_and_ranks(all_ranks=True)[0] == 0:
                logger.info("looking for images in %s: %s so far", self.place, f"{count:,}")
