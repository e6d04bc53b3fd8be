"""What the site knows of each model: its card, beside what timm says of it today."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import timm

from advprop.cards import Collection, ModelCard, ModelIndex, load_model_index
from advprop.models import current_name


@dataclass(frozen=True)
class Model:
    """One model, as its page tells it."""

    card: ModelCard

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
        """What timm says of its pretrained weights."""
        return timm.get_pretrained_cfg(self.timm_name)

    @property
    def size(self) -> str:
        """Which EfficientNet it is: `B0` to `B8`."""
        found = re.search(r"_(b\d)\b|_(b\d)_", self.name)
        return (found[1] or found[2]).upper() if found else self.name

    def structured_data(self) -> dict[str, Any]:
        """What a search engine is told of it, in the words of schema.org."""
        return {
            "@context": "https://schema.org",
            "@type": "SoftwareSourceCode",
            "name": self.name,
            "alternateName": self.timm_name,
            "codeRepository": self.card.code,
            "programmingLanguage": "Python",
            "runtimePlatform": "PyTorch",
        }


@dataclass(frozen=True)
class Facts:
    """All models, in the order of their names."""

    index: ModelIndex

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """Every model."""
        return tuple(sorted((Model(card) for card in self.index.models), key=lambda model: model.name))

    def model(self, name: str) -> Model:
        """The model of this name."""
        return Model(self.index.model(name))

    def members(self, collection: Collection) -> tuple[Model, ...]:
        """The models of a collection."""
        return tuple(model for model in self.models if model.card.collection == collection.name)


def read_facts() -> Facts:
    """Read them.

    Raises:
        ValueError: If a model index has mistakes; the message has file, line, column and field of each.
    """
    return Facts(load_model_index())
