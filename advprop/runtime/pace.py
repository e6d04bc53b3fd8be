"""How long a run will still take, by the steps and tests that it has taken."""

import time
from collections import deque
from dataclasses import dataclass

_MARKS = 120  # of the last minute or more
_APART = 0.5  # seconds of training between two marks
_TIMED_STEPS, _TIMED_SECONDS, _LONG_STEP = 3, 0.25, 5.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run consists of.

    Args:
        epochs: Number of epochs.
        steps: Number of steps of an epoch.
        images: Number of images of a step, over all ranks.
        test_every: Number of epochs between two tests; there is one after the last epoch, too.
        test_steps: How many steps take as long as a test, roughly: it holds until a test was timed.
    """

    epochs: int
    steps: int
    images: int
    test_every: int = 1
    test_steps: float = 0.0

    def is_tested(self, epoch: int) -> bool:
        """Whether there is a test after the epoch of this number, from 1 on."""
        return epoch % self.test_every == 0 or epoch == self.epochs

    def tests_after(self, epoch: int) -> int:
        """How many tests there are after the epochs that follow this one.

        Examples:
            >>> from advprop.runtime import Plan
            >>> plan = Plan(epochs=10, steps=1, images=1, test_every=4)
            >>> [plan.tests_after(epoch) for epoch in (0, 4, 8, 10)]  # after 4, 8 and 10
            [3, 2, 1, 0]
        """
        return sum(map(self.is_tested, range(epoch + 1, self.epochs + 1)))


class Pace:
    """How fast a run goes, without its first step, which is slower than the others.

    Args:
        plan: The run.
        step: The step that it goes on from.
        epochs: How many of its epochs are over, with their tests.
    """

    def __init__(self, plan: Plan, step: int = 0, epochs: int = 0) -> None:
        self.plan = plan
        self.step: int = step
        self.first_step: int = step
        self.epochs: int = epochs
        self.seconds: float = 0.0  # of training
        self.test_seconds: float | None = None
        self.marks: deque[tuple[int, float]] = deque(maxlen=_MARKS)
        self.began: float = time.monotonic()
        self.last: float = self.began

    def stepped(self, step: int) -> None:
        """A step has been taken."""
        now = time.monotonic()
        self.seconds += now - self.last
        self.step, self.last = step, now
        if not self.marks or self.seconds - self.marks[-1][1] >= _APART:
            self.marks.append((step, self.seconds))

    def epoch_over(self, tested: bool) -> None:
        """An epoch is over, with its test, if it has one."""
        now = time.monotonic()
        if tested:
            self.test_seconds, self.last = now - self.last, now
        self.epochs += 1

    def go_back(self, step: int) -> None:
        """Steps are taken again."""
        self.step, self.last = step, time.monotonic()
        self.marks.clear()

    @property
    def known(self) -> bool:
        """Whether enough steps were timed, or there are no more."""
        if not self.marks:
            return False
        first, seconds = self.marks[0]
        timed = self.step - first >= _TIMED_STEPS and self.seconds - seconds >= _TIMED_SECONDS
        return timed or self.seconds >= _LONG_STEP or self.step >= self.plan.epochs * self.plan.steps

    @property
    def step_seconds(self) -> float:
        """Seconds that a step takes; 0 before the first."""
        if not self.marks:
            return 0.0
        first, seconds = self.marks[0]
        if self.step > first:
            return (self.seconds - seconds) / (self.step - first)
        return self.seconds / max(1, self.step - self.first_step)

    @property
    def rate(self) -> float:
        """Images that are trained on in a second."""
        return self.plan.images / max(self.step_seconds, 1e-9)

    def left_of_epoch(self) -> float:
        """Seconds that the epoch will still take, with its test."""
        epoch = self.epochs + 1
        steps = max(0, epoch * self.plan.steps - self.step) if epoch <= self.plan.epochs else 0
        tested = epoch <= self.plan.epochs and self.plan.is_tested(epoch)
        return steps * self.step_seconds + tested * self._test()

    def left_of_run(self) -> float:
        """Seconds that the run will still take, with the tests of its epochs."""
        steps = self.plan.epochs * self.plan.steps - self.step
        return steps * self.step_seconds + self.plan.tests_after(self.epochs) * self._test()

    def whole(self) -> float:
        """Seconds that the run takes in all since it was begun or resumed."""
        return time.monotonic() - self.began + self.left_of_run()

    def _test(self) -> float:
        known = self.test_seconds
        return self.plan.test_steps * self.step_seconds if known is None else known
