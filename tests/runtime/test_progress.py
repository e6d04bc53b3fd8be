"""The time that is left, of the epoch and of the run, and the lines that say so."""

import logging

import pytest

from advprop.runtime import Pace, Plan, Progress, duration, pace as paces

PLAN = Plan(epochs=10, steps=5, images=20, test_every=2, test_steps=1.5)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets forward."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        def go(self, seconds):
            self.now += seconds

    found = Clock()
    monkeypatch.setattr(paces, "time", found)
    monkeypatch.setattr("advprop.runtime.progress.time", found)
    return found


def take(pace, clock, steps, seconds):
    for _ in range(steps):
        clock.go(seconds)
        pace.stepped(pace.step + 1)


def test_the_first_step_counts_only_while_it_is_the_only_one(clock):
    pace = Pace(PLAN)
    assert (pace.step_seconds, pace.known) == (0.0, False)
    take(pace, clock, 1, 4.0)
    assert (pace.step_seconds, pace.known) == (4.0, False)
    take(pace, clock, 3, 0.5)
    assert (pace.step_seconds, pace.known) == (0.5, True)
    assert pace.rate == 40
    assert pace.left_of_epoch() == 0.5  # its first is not tested
    assert pace.left_of_run() == 46 * 0.5 + 5 * 1.5 * 0.5
    assert pace.whole() == 5.5 + pace.left_of_run()


def test_a_step_that_is_long_is_enough(clock):
    pace = Pace(PLAN)
    take(pace, clock, 1, 60.0)
    assert pace.known
    assert pace.left_of_run() == 49 * 60 + 5 * 90


def test_tests_take_what_the_last_one_took(clock):
    pace = Pace(PLAN)
    take(pace, clock, 5, 1.0)
    pace.epoch_over(tested=False)
    take(pace, clock, 5, 1.0)
    assert pace.left_of_epoch() == 1.5  # its test is still to come
    clock.go(7.0)
    pace.epoch_over(tested=True)
    assert pace.step_seconds == 1.0  # without the test
    assert pace.left_of_epoch() == 5.0
    assert pace.left_of_run() == 40 + 4 * 7
    take(pace, clock, 6, 1.0)
    pace.epoch_over(tested=False)
    assert pace.left_of_epoch() == 4 + 7


def test_a_run_that_slows_down_is_seen(clock):
    pace = Pace(Plan(epochs=1, steps=10_000, images=1))
    take(pace, clock, 400, 0.5)
    take(pace, clock, 200, 5.0)
    assert pace.step_seconds == 5.0


def test_a_resumed_run_has_what_is_left(clock):
    pace = Pace(PLAN, step=43, epochs=8)
    take(pace, clock, 2, 1.0)
    assert pace.left_of_run() == 5 + 1.5
    pending = Pace(PLAN, step=10, epochs=1)  # the test of the second epoch is still to come
    assert PLAN.tests_after(pending.epochs) == 5
    over = Pace(PLAN, step=50, epochs=10)
    assert (over.left_of_run(), over.left_of_epoch()) == (0, 0)


def test_steps_that_are_taken_again_are_to_come(clock):
    pace = Pace(PLAN)
    take(pace, clock, 4, 1.0)
    pace.go_back(0)
    take(pace, clock, 2, 3.0)
    assert pace.step_seconds == 3.0
    assert pace.left_of_epoch() == 9


def test_elsewhere_than_in_a_terminal_lines_tell_what_is_left(clock, caplog):
    caplog.set_level(logging.INFO)
    told = []
    pace = Pace(Plan(epochs=3, steps=5, images=20, test_every=3))
    with Progress(pace, announce=lambda seconds: [told.append(seconds) or f"about {seconds:g}"]) as bar:
        for step in range(1, 16):
            clock.go(20.0)
            bar.stepped(step)
            bar.tell({"clean": 1.23456})
            if step % 5 == 0:
                bar.end_epoch(0.875 if step == 15 else None)
    assert told == [300.0]
    assert [record.message for record in caplog.records] == [
        "about 300",
        "epoch 1/3: clean 1.23, 1 images/s, 1 min of the epoch and 4 min 20 s of the run left",
        "epoch 1/3: clean 1.23, 1 images/s, 20 s of the epoch and 3 min 40 s of the run left",
        "epoch 1/3: clean 1.23, 1 images/s, 3 min 20 s left",
        "epoch 2/3: clean 1.23, 1 images/s, 1 min of the epoch and 2 min 40 s of the run left",
        "epoch 2/3: clean 1.23, 1 images/s, 20 s of the epoch and 2 min of the run left",
        "epoch 2/3: clean 1.23, 1 images/s, 1 min 40 s left",
        "epoch 3/3: clean 1.23, 1 images/s, 1 min of the epoch and 1 min of the run left",
        "epoch 3/3: clean 1.23, 1 images/s, 20 s of the epoch and 20 s of the run left",
        "epoch 3/3: clean 1.23, test 87.5 %, 1 images/s",
    ]


def test_short_epochs_share_a_line_and_nothing_is_shown_unasked(clock, caplog):
    caplog.set_level(logging.INFO)
    for shown in (False, True):
        pace = Pace(Plan(epochs=30, steps=1, images=1))
        with Progress(pace, shown=shown) as bar:
            for step in range(1, 31):
                clock.go(0.25)
                bar.stepped(step)
                bar.end_epoch()
        assert len(caplog.records) == (6 if shown else 0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3599.9, "1 h"), (86_399, "1 d"), (1e6, "11 d 14 h")],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words
