"""What the commands do that train, list and show; an instance is a command with its options.

Imports of torch stand inside: help should not wait for them.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tyro.conf import Positional

from advprop.cli.console import Switch, rank, say, under_way, width
from advprop.recipes import (
    AugmentSettings,
    DataSettings,
    MethodSettings,
    ModelSettings,
    OptimiserSettings,
    Recipe,
    RunSettings,
    make_recipe,
)

logger = logging.getLogger(__name__)

Group = TypeVar(
    "Group",
    DataSettings,
    AugmentSettings,
    ModelSettings,
    MethodSettings,
    OptimiserSettings,
    RunSettings,
)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model, with AdvProp or without; by default on scikit-learn's digits.

    Args:
        recipe: Settings to start from: YAML files, or card:NAME for what a model's card states. A later one
            overrides an earlier one, and options override both.
        out: Directory of the run; by default a new one in runs/.
        resume: Go on with the run in --out, by its own recipe; without --out, with the latest run of these
            settings.
        compare: Train with --method standard, too, and show both.
        log: Where the records of the run go beside its directory: tensorboard, wandb.
    """

    recipe: tuple[str, ...] = ()
    out: Path | None = None
    resume: Switch = False
    compare: Switch = False
    log: tuple[Literal["tensorboard", "wandb"], ...] = ()
    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    run: RunSettings = field(default_factory=RunSettings)

    @classmethod
    def of(cls, recipe: Recipe) -> Train:
        """The command with the settings of a recipe for defaults."""
        return cls(
            data=_group(recipe, DataSettings),
            augment=_group(recipe, AugmentSettings),
            model=_group(recipe, ModelSettings),
            method=_group(recipe, MethodSettings),
            optimiser=_group(recipe, OptimiserSettings),
            run=_group(recipe, RunSettings),
        )

    def __call__(self) -> int:
        """Trains, and shows the accuracy."""
        from advprop.runs import outcome_table
        from advprop.training import train

        groups = (self.data, self.augment, self.model, self.method, self.optimiser, self.run)
        recipe = make_recipe(*map(vars, groups))
        if recipe.epochs <= recipe.warmup_epochs and rank() == 0:
            told = "the learning rate rises over all %d epochs: warmup_epochs is %g"
            logger.warning(told, recipe.epochs, recipe.warmup_epochs)
        recipes = [(recipe, self.out)]
        if self.compare:
            beside = self.out.with_name(f"{self.out.name}-standard") if self.out else None
            recipes.insert(0, (dataclasses.replace(recipe, method="standard"), beside))
        more: dict[str, Any] = {"resume": self.resume, "progress": True, "logs": self.log}
        outcomes = [train(each, out, **more) for each, out in recipes]
        if rank() == 0:
            say(outcome_table(outcomes))
            say(f"\n{_explained(outcomes[-1])}")
            for outcome in outcomes:
                say(f"{outcome.recipe.method}: {outcome.seconds:.0f} s, in {outcome.run.directory}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models with a card, or describe some of them.

    Args:
        names: Models to describe, by their old or their current name.
    """

    names: Positional[tuple[str, ...]] = ()

    def __call__(self) -> int:
        """Shows the list or the descriptions."""
        from advprop.cards import describe_card, find_card, list_cards, list_legend, load_model_index

        index = load_model_index()
        cards = [find_card(index, name) for name in self.names]
        told = [describe_card(card, index, width=width()) for card in cards]
        say("\n\n".join(told) if told else f"{list_cards(index)}\n\n{list_legend()}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Compare the cards of the models with timm and with what can be counted.

    Args:
        names: Models to verify, by their old or their current name; by default all.
        json: File to write the record to.
    """

    names: Positional[tuple[str, ...]] = ()
    json: Path | None = None

    def __call__(self) -> int:
        """Shows what agrees and what does not."""
        from advprop.cards import run_verify

        def write(text: str) -> None:
            under_way("")
            say(text.rstrip())

        return run_verify(
            self.names or None,
            json=self.json,
            write=write,
            progress=lambda name: under_way(f"verifying {name}"),
            width=width(),
        )


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """Print a complete program for a model, as its page shows it.

    Args:
        name: Which program: predict, features, finetune, train, attack, export; with `_timm` at the end,
            the one that does without this package, where there is one.
        model: The model that it uses, by its old or its current name.
    """

    name: Positional[str]
    model: str = "tf_efficientnet_b0_ap"

    def __call__(self) -> int:
        """Prints it."""
        from advprop.cards import snippet

        say(snippet(self.name, self.model).rstrip())
        return 0


def _group(recipe: Recipe, kind: type[Group]) -> Group:
    """The settings of a recipe that belong together."""
    return kind(**{each.name: getattr(recipe, each.name) for each in dataclasses.fields(kind)})


def _explained(outcome: Any) -> str:
    severities = " and ".join(map(str, outcome.recipe.severities))
    corrupted = f"; corrupted: mean over 15 kinds, severity {severities}" if severities else ""
    return f"accuracy in % on {outcome.clean.n} test images{corrupted}"
