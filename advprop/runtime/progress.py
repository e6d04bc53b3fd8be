"""What a run shows while it goes on: a bar in a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from tqdm import tqdm

from advprop.runtime.messages import duration
from advprop.runtime.pace import Pace

logger: logging.Logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_EPOCHS = 1.0
_BAR, _WIDE = "{desc} |{bar}|", 100


class Progress(AbstractContextManager["Progress"]):
    """Progress of a run, with the time that is left of the epoch and of the run; a context manager.

    Args:
        pace: How fast the run goes.
        shown: Whether to show anything.
        announce: Lines to show once the time of the run is known, from the seconds that it will take.
        wait: Waits for the device, so that the first steps are timed as they are.
    """

    def __init__(
        self,
        pace: Pace,
        shown: bool = True,
        announce: Callable[[float], list[str]] | None = None,
        wait: Callable[[], None] = lambda: None,
    ) -> None:
        plan = pace.plan
        self.pace = pace
        self.shown = shown
        self.announce = announce if shown else None
        self.wait = wait
        self.last_line: float = time.monotonic()
        self.losses: str = ""
        self.test: str = ""
        self.bar: tqdm[Any] = tqdm(
            total=plan.epochs * plan.steps * plan.images,
            initial=pace.step * plan.images,
            dynamic_ncols=True,
            disable=not (shown and sys.stderr.isatty()),
            bar_format=_BAR,
            desc="timing the first steps",
        )

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def stepped(self, step: int) -> None:
        """A step has been taken."""
        if self.announce:
            self.wait()
        self.pace.stepped(step)
        self._draw()
        self.bar.update(self.pace.plan.images)
        if self.announce and self.pace.known:
            with tqdm.external_write_mode(file=sys.stderr):  # above the bar
                for line in self.announce(self.pace.whole()):
                    logger.info("%s", line)
            self.announce = None

    def go_back(self, step: int) -> None:
        """Steps are taken again."""
        self.bar.update((step - self.pace.step) * self.pace.plan.images)
        self.pace.go_back(step)

    def tell(self, values: Mapping[str, float]) -> None:
        """New losses to show; outside of a terminal not more often than is good to read."""
        digits = 3 if self.bar.disable else 2
        self.losses = ", ".join(f"{name} {value:.{digits}g}" for name, value in values.items())
        at_end = self.pace.step % self.pace.plan.steps == 0
        if not at_end and self._is_due(_SECONDS_BETWEEN_LINES):
            epoch, run = duration(self.pace.left_of_epoch()), duration(self.pace.left_of_run())
            self._line(f"{epoch} of the epoch and {run} of the run left")

    def end_epoch(self, top1: float | None = None) -> None:
        """An epoch is over; with the accuracy of its test, in [0, 1], if it has one."""
        self.pace.epoch_over(tested=top1 is not None)
        if top1 is not None:
            self.test = f"test {100 * top1:.1f} %"
        self._draw()
        self.bar.refresh()
        last = self.pace.epochs == self.pace.plan.epochs
        if last or self._is_due(_SECONDS_BETWEEN_EPOCHS):
            left = "" if last else f"{duration(self.pace.left_of_run())} left"
            self._line(left, "" if top1 is None else self.test)

    @property
    def title(self) -> str:
        """The epoch of the last step, of how many."""
        plan = self.pace.plan
        return f"epoch {max(1, -(-self.pace.step // plan.steps))}/{plan.epochs}"

    def _draw(self) -> None:
        """What the bar shows when it is drawn next."""
        if self.bar.disable:
            return
        epoch, run = map(tqdm.format_interval, (self.pace.left_of_epoch(), self.pace.left_of_run()))
        rate = f", {self._rate()}" if (self.bar.format_dict["ncols"] or 0) >= _WIDE else ""
        self.bar.set_description_str(f"{self.title}, {epoch} left", refresh=False)
        self.bar.bar_format = f"{_BAR} run {run} left{rate}{{postfix}}"
        self.bar.set_postfix_str(", ".join(filter(None, (self.test, self.losses))), refresh=False)

    def _rate(self) -> str:
        rate = self.pace.rate
        return f"{rate:.0f} images/s" if rate >= 10 else f"{rate:.2g} images/s"

    def _is_due(self, seconds: float) -> bool:
        return time.monotonic() - self.last_line > seconds

    def _line(self, left: str, test: str = "") -> None:
        """A line with the last losses and what is left, where there is no bar."""
        if self.shown and self.bar.disable:
            self.last_line = time.monotonic()
            told = (self.losses, test, self._rate(), left)
            logger.info("%s: %s", self.title, ", ".join(filter(None, told)))
