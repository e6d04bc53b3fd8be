"""The command that trains a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from advprop.cli.console import Switch, rank, say
from advprop.cli.small_folders import with_model
from advprop.recipes import (
    AugmentSettings,
    DataSettings,
    MethodSettings,
    ModelSettings,
    OptimizerSettings,
    Recipe,
    RunSettings,
    make_recipe,
)

logger: logging.Logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model, with AdvProp or without; by default on scikit-learn's digits.

        A folder of images has a folder for each split, and in it one for each class:
        photos/train/       cat/1.jpg  cat/night/2.jpg  dog/1.jpg ...
        photos/validation/  cat/1.jpg  dog/1.jpg ...

    Args:
        recipe: Settings to start from: YAML files, recipes of the package (resnet50, resnet50-pgd1,
            resnet50-pgd5, resnet50-fast, convnext-t, vit-s), or card:NAME for what a model's card states. A
            later one overrides an earlier one, and options override all.
        out: Directory of the run; by default a new one in runs/.
        resume: Go on with the run in --out, by its own recipe; without --out, with the latest run of these
            settings.
        compare: Train with --method standard, too, and show both.
        log: Where the records of the run go beside its directory: tensorboard, wandb.
        profile: Number of steps to profile after three others: a trace in trace.json of the run's directory,
            for Chrome and Perfetto, and the operations that take longest.
    """

    recipe: tuple[str, ...] = ()
    out: Path | None = None
    resume: Switch = False
    compare: Switch = False
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    profile: int | None = None
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    run: RunSettings = field(default_factory=RunSettings)

    @classmethod
    def of(cls, recipe: Recipe) -> Train:
        """The command with the settings of a recipe for defaults."""
        groups = {
            name: kind(**{each.name: getattr(recipe, each.name) for each in fields(kind)})
            for name, kind in _GROUPS.items()
        }
        return cls(**groups)

    def __call__(self) -> int:
        """Trains, and shows the accuracy."""
        recipe = make_recipe(*(vars(getattr(self, group)) for group in _GROUPS))
        recipe = with_model(recipe, told=not self.resume)
        if recipe.epochs <= recipe.warmup_epochs and rank() == 0:
            told = "the learning rate rises over all %d epochs: warmup_epochs is %g"
            logger.warning(told, recipe.epochs, recipe.warmup_epochs)
        recipes = [(recipe, self.out)]
        if self.compare:
            beside = self.out.with_name(f"{self.out.name}-standard") if self.out else None
            recipes.insert(0, (replace(recipe, method="standard"), beside))
        from advprop.cli.report import show_report
        from advprop.runs import outcome_table
        from advprop.runtime import duration
        from advprop.training import train

        more: dict[str, Any] = {"resume": self.resume, "logs": self.log, "profile": self.profile}
        outcomes = [train(each, out, progress=True, **more) for each, out in recipes]
        if rank() == 0:
            say(outcome_table(outcomes))
            say(f"\n{_explained(outcomes[-1])}")
            for outcome in outcomes:
                say(f"{outcome.recipe.method}: {duration(outcome.seconds)}, in {outcome.run.directory}")
            for outcome in outcomes:
                if len(outcomes) > 1:
                    say(f"\nwith --method {outcome.recipe.method}")
                show_report(outcome.report, outcome.run.directory, outcome.run.directory)
        return 0


_GROUPS: dict[str, Any] = {
    each.name: each.default_factory for each in fields(Train) if is_dataclass(each.default_factory)
}


def _explained(outcome: Any) -> str:
    severities = " and ".join(map(str, outcome.recipe.severities))
    corrupted = f"; corrupted: mean over 15 kinds, severity {severities}" if severities else ""
    return f"accuracy in % on {outcome.clean.n} test images{corrupted}"
