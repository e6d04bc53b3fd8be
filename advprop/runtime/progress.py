"""What a run shows while it goes on: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Progress in images; a context manager.

    Args:
        total: Number of images of the whole run.
        done: How many of them were seen before.
        shown: Whether to show anything.
    """

    def __init__(self, total: int, done: int = 0, shown: bool = True) -> None:
        self.total = total
        self.done: int = done
        self.done_before: int = done
        self.shown = shown
        self.began: float = time.monotonic()
        self.last_line: float = self.began
        self.bar: tqdm[Any] = tqdm(
            total=total,
            initial=done,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            disable=not (shown and sys.stderr.isatty()),
            bar_format="{desc}{percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{postfix}",
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def update(self, images: int) -> None:
        """Some more images were seen."""
        self.done += images
        self.bar.update(images)

    def tell(self, title: str, values: Mapping[str, float], last: bool = False) -> None:
        """New values to show, such as losses; outside of a terminal not more often than is good to read."""
        told = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        self.bar.set_description_str(f"{title} ", refresh=False)
        self.bar.set_postfix_str(told)
        now = time.monotonic()
        due = last or now - self.last_line > _SECONDS_BETWEEN_LINES or self.done == self.total
        if self.shown and self.bar.disable and due:
            self.last_line = now
            logger.info("%s: %s, %.0f images/s", title, told, self.rate(now))

    def rate(self, now: float) -> float:
        """Images a second since the bar was opened."""
        return (self.done - self.done_before) / max(now - self.began, 1e-9)
