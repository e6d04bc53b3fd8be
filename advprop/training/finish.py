"""The end of a run: what the trained model answers to the test images, and to corrupted ones."""

from advprop.evaluation import Accuracy, evaluate_corruptions
from advprop.models import names_of_classes
from advprop.runs import Outcome, Report, Run
from advprop.runtime import short_of_memory
from advprop.training.advice import in_test
from advprop.training.loop import Loop


def finish(loop: Loop, run: Run) -> Outcome:
    """Tests the trained model and writes the results; all ranks must call this.

    A test that the model has had as it is now is not repeated.

    Raises:
        OutOfMemory: If there is no memory left.
        CheckpointError: If the results cannot be written.
    """
    with short_of_memory("in a test", lambda: in_test(loop, run.directory)):
        names = names_of_classes(loop.model().model)
        report = Report.of(loop.answers(), loop.test_batches, names)
        outcome = Outcome(
            run=run,
            recipe=loop.recipe,
            clean=report.accuracy,
            corrupted=_corrupted(loop),
            seconds=loop.seconds,
            report=report,
        )
    if loop.world.is_first:
        run.write_results(outcome.to_dict())
        report.write_wrong(run.directory)
    return outcome


def _corrupted(loop: Loop) -> dict[str, dict[int, Accuracy]]:
    """Accuracy on corrupted test images, at the severities of the recipe."""
    severities = loop.recipe.severities
    if not severities:
        return {}
    return evaluate_corruptions(loop.model(), loop.test_batches, severities=severities)
