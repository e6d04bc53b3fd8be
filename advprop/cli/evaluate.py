"""The command that measures a trained model."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from advprop.cli.console import rank, say
from advprop.recipes import RECIPE_FILE, make_recipe
from advprop.runtime import short_of_memory


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure the accuracy of a trained model: clean, corrupted, attacked.

    Args:
        model: Directory of a run, which is measured on its own test images. With --data also the folder of
            an exported model, or the name of a model that timm has weights of.
        out: Folder for a table and a picture of what is wrong; by default the directory of a run that is
            measured on its own test images through its main norms.
        data: Other test images: a folder with a folder for each class, or what timm reads.
        data_dir: Folder that holds the data of that name.
        test_split: Name of the split, or of the folder, with the test images of these data.
        bad_images: What to do about one of these images that cannot be read.
        workers: Processes that read these images.
        test_batch_size: Images that are tested at once; none: as many as in the tests of the run, or 100 of
            other images.
        severities: Severities of the 15 corruptions, from 1 to 5.
        eps: Radii of attacks, in pixels of [0, 1], such as 2/255; none: no attack.
        steps: Steps of the attacks.
        branch: Batch norms to use: main, or adv.
        device: cpu, cuda, mps; auto takes the best there is.
    """

    model: Positional[str]
    out: Path | None = None
    data: str | None = None
    data_dir: str | None = None
    test_split: str = "validation"
    bad_images: Literal["stop", "skip"] = "stop"
    workers: int = 4
    test_batch_size: int | None = None
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    eps: tuple[float, ...] = ()
    steps: tuple[int, ...] = (10,)
    branch: str = "main"
    device: str = "auto"

    def __call__(self) -> int:
        """Shows the tables."""
        if self.test_batch_size is not None and self.test_batch_size < 1:
            raise ValueError(f"--test-batch-size must be 1 or more, got {self.test_batch_size}")
        branch = self.branch if self.data is None else "main"  # the one that the model is loaded with
        with self._open() as (model, batches):
            advice = f"lower --test-batch-size (now {batches.share})"
            with short_of_memory("in a test", lambda: advice):
                self._show(model, batches, {"branch": branch, "progress": sys.stderr.isatty()})
        return 0

    def _show(self, model: Any, batches: Any, options: dict[str, Any]) -> None:
        """Evaluates, and shows the tables."""
        from advprop.attacks import PGD
        from advprop.cli.report import show_report
        from advprop.evaluation import evaluate_answers, evaluate_attacks, evaluate_corruptions
        from advprop.models import names_of_classes
        from advprop.runs import Report, attack_table, corruption_table

        tell: Callable[[str], None] = say if rank() == 0 else lambda _: None  # the first speaks for all
        answers = evaluate_answers(model, batches, **options)
        report = Report.of(answers, batches, names_of_classes(model.model))
        tell(f"clean: {report.accuracy}")
        if self.severities:
            found = evaluate_corruptions(model, batches, severities=self.severities, **options)
            tell(f"\naccuracy in % on corrupted images\n{corruption_table(found)}")
        if self.eps:
            attack = PGD()
            attacked = evaluate_attacks(model, batches, self.eps, self.steps, attack, **options)
            tell(f"\naccuracy in % on attacked images ({attack.kind})\n{attack_table(attacked)}")
        if rank() == 0:
            show_report(report, self.model, self._directory())

    def _directory(self) -> Path | None:
        """Where the files of the report go; None: nowhere."""
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            return self.out
        return Path(self.model) if self.data is None and self.branch == "main" else None

    def _open(self) -> AbstractContextManager[tuple[Any, Any]]:
        """The model, and the test images."""
        if self.data is None and not (Path(self.model) / RECIPE_FILE).is_file():
            raise ValueError(
                f"{self.model} is not the directory of a run; with --data it may be another model"
            )
        from advprop.inference import model_and_images, trained

        if self.data is None:
            return trained(self.model, self.device, self.test_batch_size)
        where = {"data": self.data, "data_dir": self.data_dir, "test_split": self.test_split}
        recipe = make_recipe(where, bad_images=self.bad_images, workers=self.workers)
        return model_and_images(self.model, recipe, self.branch, self.device, self.test_batch_size or 100)
