"""What the site knows of each model: its card, what was counted and checked, what was measured."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import timm

from advprop.cards import Collection, ModelCard, ModelIndex, default_pages, load_model_index
from advprop.models import current_name
from advprop.results import Result, Results, load_results
from advprop.verify import Check, Verification, load_verification, verify
from docs.hooks import layers
from scripts import notebook_cache

RECORDS = notebook_cache.ROOT / ".cache" / "verification"


@dataclass(frozen=True)
class Model:
    """One model, as its page tells it."""

    card: ModelCard
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
        """Where its weights are."""
        return f"https://huggingface.co/{self.config.hf_hub_id}"

    @property
    def size(self) -> str:
        """Which EfficientNet it is: `B0` to `B8`."""
        found = re.search(r"_(b\d+)(_|$)", self.name)
        return found[1].upper() if found else self.name

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

    def found(self, field: str) -> Any:
        """What was counted, or read from timm, for a field."""
        return self.checks[field].found

    def structured_data(self, paper: str) -> dict[str, Any]:
        """What a search engine is told of it, in the words of schema.org."""
        return {
            "@context": "https://schema.org",
            "@type": "SoftwareSourceCode",
            "name": self.name,
            "alternateName": self.timm_name,
            "description": f"EfficientNet-{self.size}, an image classifier trained with AdvProp",
            "keywords": list(self.card.training_techniques),
            "codeRepository": self.card.code,
            "sameAs": self.hub,
            "license": self.config.license,
            "programmingLanguage": "Python",
            "runtimePlatform": "PyTorch",
            "citation": {"@type": "ScholarlyArticle", "url": paper},
        }


@dataclass(frozen=True)
class Facts:
    """All models, in the order of their names."""

    index: ModelIndex
    results: Results
    verification: Verification

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """Every model."""
        found = (Model(card, self.verification.of(card.name), self.results) for card in self.index.models)
        return tuple(sorted(found, key=lambda model: model.name))

    def model(self, name: str) -> Model:
        """The model of this name."""
        card = self.index.model(name)
        return next(model for model in self.models if model.card == card)

    def members(self, collection: Collection) -> tuple[Model, ...]:
        """The models of a collection."""
        return tuple(model for model in self.models if model.card.collection == collection.name)

    def collection(self, model: Model) -> Collection:
        """The collection that a model belongs to."""
        return next(each for each in self.index.collections if each.name == model.card.collection)


def read_facts() -> Facts:
    """Read the model index, check it against the code, and read what was measured.

    Raises:
        ValueError: If a model index has mistakes; the message has file, line, column and field of each.
    """
    index = load_model_index()
    return Facts(index, load_results(), _verified(index))


def _verified(index: ModelIndex) -> Verification:
    """The record of a verification of these pages by this code: kept, since it takes some seconds."""
    record = RECORDS / f"{_key()}.json"
    if record.is_file():
        return load_verification(record)
    verification = verify(index)
    RECORDS.mkdir(parents=True, exist_ok=True)
    record.write_text(verification.model_dump_json(indent=1), encoding="utf-8")
    return verification


def _key() -> str:
    """Changes with the pages, with the files that verify them, and with the versions of what they use."""
    files = notebook_cache.sources()
    wanted = layers.below("verify")
    digests = {
        name: digest
        for name, digest in files.items()
        if not name.endswith(".py") or name.removesuffix(".py") in wanted
    }
    pages = [hashlib.sha256(page.read_bytes()).hexdigest() for page in default_pages()]
    parts = json.dumps([digests, pages, notebook_cache.versions()], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
