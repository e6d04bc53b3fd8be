"""A training run from its recipe to its results."""

from collections.abc import Sequence
from pathlib import Path

from advprop.evaluation import evaluate_corruptions
from advprop.models import names_of_classes
from advprop.recipes import Recipe
from advprop.runs import Journal, Log, Outcome, Report, Run, choose_directory
from advprop.runtime import (
    compiling,
    cpu_threads,
    gpu_kernels,
    join,
    listening,
    own_randomness,
    short_of_memory,
    torchrun_job,
)
from advprop.training.advice import before_training, in_test
from advprop.training.loop import Loop
from advprop.training.trainer import Trainer


def train(
    recipe: Recipe,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    progress: bool = False,
    logs: Sequence[Log] = (),
    profile: int | None = None,
) -> Outcome:
    """Trains a model by a recipe; the run's directory has all that it takes to repeat it or go on with it.

    SIGTERM and Ctrl-C save the state before they end the run. Where torchrun starts the processes again, they
    go on with the run that its job began or went on with.

    Args:
        recipe: What to do.
        out: Directory of the run; by default a new one in `runs/`.
        resume: Whether to go on with the run that is there. The result is that of a run that was never
            interrupted, bit for bit on a CPU.
        progress: Whether to show progress.
        logs: Where the records go beside the files of the run: `"tensorboard"`, `"wandb"`.
        profile: Steps to profile, after three others: a trace in `trace.json`, and a printed table.

    Raises:
        MissingExtraError: If a package of these is not installed.
        ValueError: If the recipe is impossible (no such data, model, device; batches that cannot be split;
            nothing that compiles), or the directory belongs to another run.
        CheckpointError: If the directory cannot be written to.
        OutOfMemory: If there is no memory left; the message says which settings take less.
        FloatingPointError: If the loss or the gradient is no number. The state of just before that step is
            kept in `stopped/`, beside the checkpoints. On a GPU the losses are looked at when they are
            recorded and before a checkpoint; a run that finds one wrong goes back to the last checkpoint and
            watches each step from there.
        Interrupted: After SIGTERM or Ctrl-C.

    Examples:
        >>> import tempfile
        >>> from advprop import make_recipe, train
        >>> recipe = make_recipe(data="digits", epochs=1, severities=())
        >>> train(recipe, tempfile.mkdtemp() + "/run").clean.n
        1597
    """
    with (
        join(recipe.device) as world,
        cpu_threads(recipe.threads),
        gpu_kernels(recipe.tf32),
        own_randomness(),
        compiling(recipe.model),
        listening() as signals,
    ):
        job = world.on_first(torchrun_job)
        directory = world.on_first(lambda: Path(out or choose_directory(recipe, resume, job)))
        run = Run(directory)
        with Journal(run, recipe, logs) as journal:
            with short_of_memory("before the first step", lambda: before_training(recipe)):
                trainer = Trainer(recipe, world, journal, profile)
                trainer.begin(resume, job)
            with signals.deferred():
                trainer.fit(signals, progress)
            return _finish(trainer.loop, run)


def _finish(loop: Loop, run: Run) -> Outcome:
    """Tests the trained model and writes the results; all ranks must call this."""
    with short_of_memory("in a test", lambda: in_test(loop, run.directory)):
        names = names_of_classes(loop.model().model)
        report = Report.of(loop.answers(), loop.test_batches, names)
        corrupted = {}
        if severities := loop.recipe.severities:
            corrupted = evaluate_corruptions(loop.model(), loop.test_batches, severities=severities)
    outcome = Outcome(
        run=run,
        recipe=loop.recipe,
        clean=report.accuracy,
        corrupted=corrupted,
        seconds=loop.seconds,
        report=report,
    )
    if loop.world.is_first:
        run.write_results(outcome.to_dict())
        report.write_wrong(run.directory)
    return outcome
