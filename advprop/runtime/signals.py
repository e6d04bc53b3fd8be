"""SIGINT (Ctrl-C) and SIGTERM: they end what can be ended at once, and let a training step finish."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN = 1.0  # seconds; torchrun passes on the Ctrl-C that its ranks have had from the terminal


class Interrupted(KeyboardInterrupt):
    """SIGTERM or Ctrl-C came: the signal of this number. The advice says how to go on."""

    def __init__(self, number: int, advice: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}{advice and f'; {advice}'}")
        self.number = number


class Signals:
    """What came of SIGINT and SIGTERM; made by `listening`."""

    def __init__(self) -> None:
        self.received: int = 0  # the first signal that came while signals were deferred
        self._deferred = False
        self._since = 0.0

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Notes signals in `received` for a while; who presses Ctrl-C again ends it at once."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if not self._deferred:
            raise Interrupted(number)
        now = time.monotonic()
        if not self.received:
            self.received, self._since = number, now
        elif number == signal.SIGINT and now - self._since > _AGAIN:
            raise Interrupted(number)


@contextmanager
def listening() -> Iterator[Signals]:
    """Handles SIGINT and SIGTERM for a while."""
    signals = Signals()
    before = {number: signal.signal(number, signals.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
