"""A run under way: steps, records, checkpoints, signals, resumption."""

import logging
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from advprop.recipes import Recipe
from advprop.runs import Journal, Run
from advprop.runtime import Interrupted, Job, Pace, Plan, Progress, Signals, World, short_of_memory
from advprop.training.advice import in_test, in_training
from advprop.training.estimate import plan_of, told_before
from advprop.training.loop import Loop
from advprop.training.preflight import check_data, optimizer_bytes
from advprop.training.profiling import check_profile, profiling

logger: logging.Logger = logging.getLogger(__name__)


class Trainer:
    """A run under way: `begin`, `fit`. The journal has its files and takes its records."""

    def __init__(self, recipe: Recipe, world: World, journal: Journal, profile: int | None = None) -> None:
        self.recipe = recipe
        self.world = world
        self.journal = journal
        self.profile = profile  # steps
        self.stepped: Callable[[], None] = lambda: None  # tells the profiler
        self.run: Run = journal.run
        self.loop: Loop = Loop(recipe, world, division=world.on_first(self.run.division))
        self.best: dict[str, float] = {"step": 0, "top1": -1.0}
        self.untested: bool = False  # whether the test of the epoch that has ended is still to come
        # The step of the last checkpoint, and whether its test was still to come.
        self.saved: tuple[int, bool] = (-1, False)
        # The step of the last record, and when it was.
        self.recorded: tuple[int, float] = (0, time.monotonic())
        self.plan: Plan = plan_of(self.loop)

    def begin(self, resume: bool, job: Job) -> None:
        """Makes the directory, or takes up the run there if it is to `resume` or is that of the job."""
        check_profile(self.profile, self.loop.total_steps)
        check_data(self.recipe, self.loop.data)
        growth = optimizer_bytes(self.recipe, self.loop.task.trainable_module)
        self.world.on_first(lambda: self.run.begin(self.recipe, resume, job, self.loop.data.division))
        if not self.load():
            self.save()  # what cannot be written is known before hours are spent
        check_profile(self.profile, self.loop.total_steps - self.loop.step)
        self.check_room(growth=0 if self.loop.step else growth)

    def load(self) -> bool:
        """Takes over the latest checkpoint, if there is one, and drops the metrics of what comes after it."""
        state = self.world.on_first(lambda: self.run.checkpoints.latest())
        if state is not None:
            self.loop.load(state)
            self.best = state.pop("best")
            self.untested = state.pop("untested", False)
            self.saved = (self.loop.step, self.untested)
        self.world.on_first(lambda: self.run.keep_recipe(self.recipe))
        self.world.on_first(lambda: self.journal.begin(self.loop.step, not self.untested))
        self.recorded = (self.loop.step, time.monotonic())
        return state is not None

    def fit(self, signals: Signals, progress: bool) -> None:
        """Takes the steps that are left, after the test that was still to come."""
        loop, begun = self.loop, self.loop.step
        shown = progress and self.world.is_first
        pace = Pace(self.plan, begun, begun // self.plan.steps - self.untested)
        with (
            short_of_memory("in training", lambda: in_training(loop, self.run.directory, self.saved[0])),
            Progress(pace, shown, lambda seconds: told_before(loop, begun, seconds), self.world.wait) as bar,
            profiling(self.profile, self.run.directory, self.world) as self.stepped,
        ):
            if self.untested:
                self.end_epoch(bar)
                self.stop_if_told(signals.received, at_record=True)
            while loop.step < loop.total_steps:
                self.fit_epoch(signals, bar)

    def fit_epoch(self, signals: Signals, bar: Progress) -> None:
        """Takes the steps that are left of an epoch; ends early where a loss was no number."""
        loop, recipe = self.loop, self.recipe
        per_epoch = len(loop.train_batches)
        for images, labels in loop.train_batches.epoch(*divmod(loop.step, per_epoch)):
            self.advance(images, labels)
            bar.stepped(loop.step)
            self.stepped()
            at_end = loop.step % per_epoch == 0
            at_record = at_end or loop.step % recipe.log_every == 0
            at_save = at_end or bool(recipe.save_every and loop.step % recipe.save_every == 0)
            if (at_record or at_save) and not loop.is_sound():
                self.go_back(bar)
                return
            if at_record:
                self.record(bar)
            if at_end:
                self.end_epoch(bar)
            elif at_save:
                self.save()
            self.stop_if_told(signals.received, at_record)

    def advance(self, images: Tensor, labels: Tensor) -> None:
        """Takes a step; keeps the state of before one that cannot be taken."""
        try:
            self.loop.advance(images, labels)
        except FloatingPointError as error:
            kept = self.world.on_first(lambda: self.run.keep_stopped(self.state(), self.loop.step))
            raise FloatingPointError(
                f"{error}. The state before it is kept in {kept}; to start from its weights with other "
                f"settings: --recipe {self.run.recipe_file} --weights {kept}"
            ) from error

    def go_back(self, bar: Progress) -> None:
        """Takes up the last checkpoint again, to watch each step up to this one.

        Raises:
            FloatingPointError: If all these steps were watched already: the update itself was too large.
        """
        loop, last = self.loop, self.loop.step
        if loop.step_is_watched(last - 1):
            raise FloatingPointError(
                f"the weights are no numbers after step {last}, at a learning rate of {loop.lr:.3g}; "
                f"the last checkpoint is that of step {self.saved[0]}"
            )
        loop.watched_until = last
        self.load()
        logger.warning("the loss is no number by step %d; watching each step from %d on", last, loop.step + 1)
        bar.go_back(loop.step)

    def record(self, bar: Progress) -> None:
        """Writes and shows the losses since the last record."""
        loop = self.loop
        losses = loop.losses.mean()
        (step, began), self.recorded = self.recorded, (loop.step, time.monotonic())
        seconds = self.recorded[1] - began
        loop.seconds += seconds
        if self.world.is_first:
            rate = (loop.step - step) * self.recipe.batch_size / seconds
            self.journal.record(
                step=loop.step,
                epoch=loop.epoch,
                **losses,
                lr=loop.lr,
                images_per_second=rate,
                seconds=loop.seconds,
            )
            shown = {name.replace("loss_", ""): value for name, value in losses.items() if name != "loss"}
            bar.tell(shown)

    def end_epoch(self, bar: Progress) -> None:
        """Saves what was trained, tests it, if it is time to, and saves the result; sums the epoch up."""
        self.untested = self.plan.is_tested(self.loop.step // self.plan.steps)
        top1 = None
        if self.untested:
            self.save()
            top1 = self.test()
            self.untested = False
        if self.world.is_first:
            self.journal.end_epoch()
        self.save()
        bar.end_epoch(top1)

    def test(self) -> float:
        """Tests the model and writes what it found; its accuracy, in [0, 1]."""
        loop = self.loop
        with short_of_memory("in a test", lambda: in_test(loop, self.run.directory)):
            accuracy = loop.test()
        if accuracy.top1 > self.best["top1"]:
            self.best = {"step": loop.step, "top1": accuracy.top1}
        if self.world.is_first:
            self.journal.record(
                step=loop.step,
                epoch=loop.epoch,
                test_top1_percent=100 * accuracy.top1,
                test_top5_percent=100 * accuracy.top5,
                test_loss=accuracy.loss,
            )
        return accuracy.top1

    def state(self) -> dict[str, Any]:
        """All that the rest depends on: the loop's, which checkpoint is the best, if a test is to come."""
        return self.loop.state() | {"best": self.best, "untested": self.untested}

    def save(self) -> None:
        """Saves the state, if it is not saved yet."""
        now = (self.loop.step, self.untested)
        if self.saved != now:
            protect = {int(self.best["step"])}
            self.world.on_first(
                lambda: self.run.checkpoints.save(self.state(), self.loop.step, protect=protect)
            )
            self.saved = now

    def check_room(self, growth: int) -> None:
        """Raises CheckpointError if those to come, with `growth` bytes of the optimizer, cannot fit."""
        loop, recipe = self.loop, self.recipe
        left = loop.total_steps - loop.step
        epochs = range(loop.step // len(loop.train_batches) + 1, recipe.epochs + 1)
        twice = sum(map(self.plan.is_tested, epochs)) + self.untested  # before a test and after it
        to_come = len(epochs) + twice + left // (recipe.save_every or loop.total_steps + 1)
        if to_come:
            self.world.on_first(lambda: self.run.checkpoints.check_room(to_come, growth))

    def stop_if_told(self, number: int, at_record: bool) -> None:
        """Saves the state and raises Interrupted if a signal came to any rank.

        Several ranks must stop after the same step, so they ask each other when the losses are recorded.
        """
        if self.world.ranks > 1:
            number = max(self.world.gather(number)) if at_record else 0
        if number:
            self.loop.losses.share()
            self.save()
            raise Interrupted(number, f"--resume --out {self.run.directory} goes on")
