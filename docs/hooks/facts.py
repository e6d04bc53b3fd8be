"""What the site knows of each model: its card, what was counted and checked, what was measured."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import timm

from advprop.cards import (
    Check,
    Collection,
    ModelCard,
    ModelIndex,
    Result,
    Results,
    Verification,
    default_pages,
    load_verification,
    read_page,
    snippets_of,
    verify,
)
from advprop.models import current_name
from scripts import notebook_cache
from scripts.surroundings import ROOT, versions

RECORDS = ROOT / ".cache" / "verification"
_IMPORTED = notebook_cache.package_sources()


@dataclass(frozen=True)
class Model:
    """One model, as its page tells it.

    It has the page of its collection, the checks of its card's fields, and the results of all models.
    """

    card: ModelCard
    collection: Collection
    home: str
    checks: dict[str, Check]
    results: Results

    @property
    def name(self) -> str:
        """The name it was published under."""
        return self.card.name

    @property
    def path(self) -> str:
        """Its page."""
        return f"models/{self.name}.md"

    @cached_property
    def timm_name(self) -> str:
        """The name that timm knows it by today."""
        return current_name(self.name)

    @cached_property
    def config(self) -> Any:
        """What timm says of its weights: mean, std, licence, where they are."""
        return timm.get_pretrained_cfg(self.timm_name)

    @property
    def hub(self) -> str:
        """Where its weights are; empty if they come with the package."""
        return f"https://huggingface.co/{self.config.hf_hub_id}" if self.config.hf_hub_id else ""

    @property
    def network(self) -> str:
        """What its architecture is called: `EfficientNet-B0`, or timm's name of it."""
        found = re.match(r"(?:tf_)?efficientnet_((?:b|lite)\d+)(?:[_.]|$)", self.name)
        return f"EfficientNet-{found[1].title()}" if found else self.timm_name.partition(".")[0]

    @property
    def method(self) -> str:
        """How it was trained, in a few words."""
        if self.card.training_techniques is None:
            return "trained by a recipe that its origin does not state"
        return f"trained {'with' if 'AdvProp' in self.card.training_techniques else 'without'} AdvProp"

    @property
    def programs(self) -> str:
        """The template with the programs of its page."""
        folder = snippets_of(self.card.collection)
        return f"{folder}/code_snippets.md" if folder else "code_snippets.md"

    @cached_property
    def measured(self) -> Result | None:
        """Its accuracy and speed."""
        return self.results.of(self.timm_name)

    @cached_property
    def siblings(self) -> tuple[Result, ...]:
        """The same architecture, trained by each recipe."""
        return self.results.siblings(self.measured.variant) if self.measured else ()

    @property
    def mismatches(self) -> tuple[Check, ...]:
        """What the card states and the code denies."""
        return tuple(check for check in self.checks.values() if check.status == "MISMATCH")

    @property
    def notes(self) -> dict[str, int]:
        """The explanations of its checks, numbered in their order, each once."""
        told = dict.fromkeys(check.explanation for check in self.checks.values() if check.explanation)
        return {explanation: number for number, explanation in enumerate(told, start=1)}

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return int(self.found("Parameters"))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of an image of its input size."""
        return int(self.found("MACs"))

    def found(self, field: str) -> Any:
        """What was counted, or read from timm, for a field."""
        return self.checks[field].found


@dataclass(frozen=True)
class Facts:
    """All models, in the order of their names."""

    index: ModelIndex
    results: Results
    verification: Verification

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """Every model."""
        homes = {each.name: (each, path) for path, several in self.pages.items() for each in several}
        found = (
            Model(card, *homes[card.collection], self.verification.of(card.name), self.results)
            for card in self.index.models
        )
        return tuple(sorted(found, key=lambda model: model.name))

    def model(self, name: str) -> Model:
        """The model of this name."""
        card = self.index.model(name)
        return next(model for model in self.models if model.card == card)

    def members(self, collection: str) -> tuple[Model, ...]:
        """The models of a collection, by its name, smallest first."""
        own = (model for model in self.models if model.card.collection == collection)
        return tuple(sorted(own, key=lambda model: model.card.flops))

    @cached_property
    def pages(self) -> dict[str, tuple[Collection, ...]]:
        """The collections that each page with a model index has, in the order of the pages."""
        known = {each.name: each for each in self.index.collections}
        return {
            f"models/{path.name}": tuple(
                known[str(each["Name"])] for each in read_page(path).data["Collections"]
            )
            for path in default_pages()
        }


def package_changed() -> bool:
    """Whether the package has been edited since it was imported here."""
    return notebook_cache.package_sources() != _IMPORTED


def verified(index: ModelIndex) -> Verification:
    """The record of a verification of these pages by this code: kept, since it takes some seconds."""
    pages = [page.read_text(encoding="utf-8") for page in default_pages()]
    key = notebook_cache.digest([notebook_cache.package_sources(), pages, versions()])
    record = RECORDS / f"{key[:32]}.json"
    if record.is_file():
        return load_verification(record)
    verification = verify(index)
    if not package_changed():  # else it was not verified by this code
        RECORDS.mkdir(parents=True, exist_ok=True)
        record.write_text(verification.model_dump_json(indent=1), encoding="utf-8")
    return verification
