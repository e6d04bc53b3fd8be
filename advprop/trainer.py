"""A training run from its recipe to its results: records, checkpoints, signals, resumption."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from advprop.accuracy import Accuracy
from advprop.behaviour import PixelModel
from advprop.data import Batches
from advprop.evaluate import evaluate_corruptions
from advprop.loop import Loop
from advprop.outcome import Outcome
from advprop.progress import Progress
from advprop.recipe import Recipe
from advprop.runs import Run, choose_directory
from advprop.world import World, cpu_threads, join, matrix_products, own_randomness


class Interrupted(KeyboardInterrupt):
    """SIGTERM or Ctrl-C came; the state is saved and the run can be resumed.

    Args:
        number: Number of the signal.
        run: The run.
    """

    def __init__(self, number: int, run: Run) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; --resume --out {run.directory} goes on")
        self.number = number
        self.run = run


def train(
    recipe: Recipe, out: Path | str | None = None, *, resume: bool = False, progress: bool = False
) -> Outcome:
    """Trains a model by a recipe; the run's directory has all that it takes to repeat it or go on with it.

    SIGTERM and Ctrl-C save the state before they end the run.

    Args:
        recipe: What to do.
        out: Directory of the run; by default a new one in `runs/`.
        resume: Whether to go on with the run that is there. The result is that of a run that was never
            interrupted, bit for bit on a CPU.
        progress: Whether to show progress.

    Raises:
        ValueError: If the recipe is impossible (no such data, model, device; batches that cannot be split),
            or the directory belongs to another run.
        CheckpointError: If the directory cannot be written to.
        FloatingPointError: If the loss is no number.
        Interrupted: After SIGTERM or Ctrl-C.

    Examples:
        >>> import tempfile
        >>> from advprop.recipe import make_recipe
        >>> from advprop.trainer import train
        >>> recipe = make_recipe(data="digits", epochs=1, severities=())
        >>> outcome = train(recipe, tempfile.mkdtemp() + "/run")
        >>> outcome.clean.n
        1597
    """
    with (
        join(recipe.device) as world,
        cpu_threads(recipe.threads),
        matrix_products(recipe.tf32),
        own_randomness(),
        _signals() as received,
    ):
        directory = world.on_first(lambda: Path(out or choose_directory(recipe, resume)))
        trainer = Trainer(recipe, world, Run(directory), resume)
        trainer.fit(received, progress)
        return trainer.finish()


@contextmanager
def trained(directory: Path | str, device: str = "auto") -> Iterator[tuple[PixelModel, Batches]]:
    """The model of a run, as it was saved last, and the test images.

    Args:
        directory: Directory of the run.
        device: Where they should be.

    Raises:
        ValueError: If the directory is not one of a run, or the run has no checkpoint.
    """
    run = Run(Path(directory))
    recipe = run.recipe
    state = run.checkpoints.latest()
    if state is None:
        raise ValueError(f"the run in {directory} has no checkpoint yet")
    with join(device) as world, cpu_threads(recipe.threads), own_randomness():
        loop = Loop(recipe, world)
        loop.load(state)
        yield loop.model().eval(), loop.test_batches


class Trainer:
    """A run under way.

    Args:
        recipe: What to do.
        world: This process among the ranks.
        run: Where its files are.
        resume: Whether to go on from the latest checkpoint, if there is one.
    """

    def __init__(self, recipe: Recipe, world: World, run: Run, resume: bool) -> None:
        self.loop = Loop(recipe, world)
        self.recipe = recipe
        self.world = world
        self.run = run
        self.best: dict[str, float] = {"step": 0, "top1": -1.0}
        self.saved = -1  # the step of the last checkpoint
        world.on_first(lambda: run.begin(recipe, resume))
        state = world.on_first(lambda: run.checkpoints.latest())
        if state is not None:
            self.best = state.pop("best")
            self.loop.load(state)
            self.saved = self.loop.step
        else:
            self.save()  # what cannot be written is known before hours are spent
        if world.is_first:
            run.forget_after(self.loop.step)

    def fit(self, received: list[int], progress: bool) -> None:
        """Takes the steps that are left."""
        loop, size = self.loop, self.recipe.batch_size
        per_epoch = len(loop.train_batches)
        self.clock = time.monotonic() - loop.seconds
        self.recorded = (loop.step, loop.seconds)
        shown = progress and self.world.is_first
        with Progress(loop.total_steps * size, loop.step * size, shown) as bar:
            while loop.step < loop.total_steps:
                epoch, start = divmod(loop.step, per_epoch)
                for images, labels in loop.train_batches.epoch(epoch, start):
                    loop.advance(images, labels)
                    bar.update(size)
                    at_end = loop.step % per_epoch == 0
                    if at_record := at_end or loop.step % self.recipe.log_every == 0:
                        self.record(bar)
                    if at_end:
                        self.end_epoch()
                    elif self.recipe.save_every and loop.step % self.recipe.save_every == 0:
                        self.save()
                    self.stop_if_told(received, at_record)

    def record(self, bar: Progress) -> None:
        """Writes and shows the losses since the last record."""
        loop = self.loop
        losses = loop.losses.mean()
        loop.check_finite(losses["loss"])
        loop.seconds = time.monotonic() - self.clock
        steps, seconds = loop.step - self.recorded[0], loop.seconds - self.recorded[1]
        self.recorded = (loop.step, loop.seconds)
        if self.world.is_first:
            rate = steps * self.recipe.batch_size / seconds
            self.run.record(
                step=loop.step,
                epoch=loop.epoch,
                **losses,
                lr=loop.lr,
                images_per_second=rate,
                seconds=loop.seconds,
            )
            shown = {name.replace("loss_", ""): value for name, value in losses.items() if name != "loss"}
            bar.tell(f"epoch {-(-loop.step // len(loop.train_batches))}/{self.recipe.epochs}", shown)

    def end_epoch(self) -> None:
        """Tests the model, if it is time to, and saves the state."""
        done = self.loop.step // len(self.loop.train_batches)
        if done % self.recipe.test_every == 0 or done == self.recipe.epochs:
            self.test()
        self.save()

    def test(self) -> None:
        """Tests the model and writes what it found."""
        loop = self.loop
        accuracy = loop.test()
        if accuracy.top1 > self.best["top1"]:
            self.best = {"step": loop.step, "top1": accuracy.top1}
        if self.world.is_first:
            self.run.record(
                step=loop.step,
                epoch=loop.epoch,
                test_top1_percent=100 * accuracy.top1,
                test_top5_percent=100 * accuracy.top5,
                test_loss=accuracy.loss,
            )

    def save(self) -> None:
        """Saves the state, if it is not saved yet."""
        if self.world.is_first and self.saved != self.loop.step:
            state = self.loop.state() | {"best": self.best}
            self.run.checkpoints.save(state, self.loop.step, protect={int(self.best["step"])})
            self.saved = self.loop.step

    def stop_if_told(self, received: list[int], at_record: bool) -> None:
        """Saves the state and raises Interrupted if a signal came to any rank.

        Several ranks must stop after the same step, so they ask each other when the losses are recorded.
        """
        number = received[0] if received else 0
        if self.world.ranks > 1:
            number = self.world.largest(number) if at_record else 0
        if number:
            self.save()
            raise Interrupted(number, self.run)

    def finish(self) -> Outcome:
        """Tests the trained model and writes the results."""
        loop = self.loop
        outcome = Outcome(
            run=self.run,
            recipe=self.recipe,
            clean=loop.test(),
            corrupted=self.corrupted(),
            seconds=loop.seconds,
        )
        if self.world.is_first:
            self.run.write_results(outcome.to_dict())
        return outcome

    def corrupted(self) -> dict[str, dict[int, Accuracy]]:
        """Accuracy on corrupted test images, at the severities of the recipe."""
        if not self.recipe.severities:
            return {}
        severities = self.recipe.severities
        return evaluate_corruptions(self.loop.model(), self.loop.test_batches, severities=severities)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in a list; a second SIGINT interrupts at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
