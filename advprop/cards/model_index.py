"""The model index: the YAML at the end of a model page, read into typed records.

One block of YAML renders the cards of the site, is the recipe of a training run, and is compared with the
code (`advprop verify`). It stands in the comment that a page ends with, or in the page's front matter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from advprop.cards.model_card import Collection, ModelCard, Paper, Record, field
from advprop.cards.page import ModelIndexError, Page, Problem, in_words, read_page
from advprop.runtime import nearest, package_folder

# Fields of a recipe, and those that say how much there was of a technique or a building block: they stand on
# cards that name one of these, and on no others.
_PARTS_OF = {
    "momentum": ("RMSProp", "SGD with Momentum"),
    "weight_decay": ("Weight Decay",),
    "rmsprop_decay": ("RMSProp",),
    "label_smoothing": ("Label Smoothing",),
    "batch_norm_momentum": ("Batch Normalization",),
    **dict.fromkeys(("epochs", "batch_size", "lr"), ("Training Techniques",)),
}


class _Block(Record):
    """The whole block of YAML of one page."""

    models: Annotated[tuple[ModelCard, ...], Field(min_length=1)] = field("Models", "list of models")
    collections: Annotated[tuple[Collection, ...], Field(min_length=1)] = field(
        "Collections", "list of collections"
    )
    type: Literal["model-index"] = field("Type", "model-index")


@dataclass(frozen=True)
class ModelIndex:
    """Models and collections of one or several pages, in the order of the pages."""

    models: tuple[ModelCard, ...]
    collections: tuple[Collection, ...]

    def model(self, name: str) -> ModelCard:
        """The card of a model, by its old or its current name.

        Raises:
            ValueError: If there is none; the message has the nearest names.

        Examples:
            >>> from advprop import load_model_index
            >>> load_model_index().model("tf_efficientnet_b4.ap_in1k").name
            'tf_efficientnet_b4_ap'
        """
        current = recorded_names()
        named = {current.get(card.name, card.name): card for card in self.models}
        named |= {card.name: card for card in self.models}
        if name not in named:
            alike = [each for each in named if ("." in each) == ("." in name)] or named
            raise ValueError(f"there is no card for the model {name!r}; {nearest(name, sorted(alike))}")
        return named[name]

    def members(self, collection: str) -> tuple[ModelCard, ...]:
        """The models of a collection."""
        return tuple(card for card in self.models if card.collection == collection)


@cache
def recorded_names() -> dict[str, str]:
    """Timm's current name of each model that the record has, by the name on its card."""
    text = (package_folder("data_files") / "timm_names.yaml").read_text(encoding="utf-8")
    names: dict[str, str] = yaml.safe_load(text)
    return names


def timm_name(name: str) -> str:
    """Timm's current name of a model, by that or an old one; where the record lacks it, timm is asked.

    Raises:
        ValueError: If timm has no such model.

    Examples:
        >>> from advprop.cards import timm_name
        >>> timm_name("tf_efficientnet_b0_ap")
        'tf_efficientnet_b0.ap_in1k'
    """
    names = recorded_names()
    if name in names.values():
        return name
    if name in names:
        return names[name]
    from advprop.models import current_name

    return current_name(name)


def default_pages() -> tuple[Path, ...]:
    """The model pages that come with the package, in the order of their names."""
    return tuple(sorted(package_folder("pages").glob("*.md")))


def load_model_index(pages: str | Path | Iterable[str | Path] | None = None) -> ModelIndex:
    """Read the model index of one page or of several.

    Args:
        pages: Markdown pages with a model index each; by default the pages of this project.

    Raises:
        ModelIndexError: If a page has no index, its YAML cannot be read, a field is unknown, missing or of a
            wrong type or range, or does not go with the card's techniques, a name occurs twice, or a model's
            collection is not listed. The message has file, line, column and field of every problem.
        OSError: If a page cannot be read.

    Examples:
        >>> from advprop import load_model_index
        >>> load_model_index().model("tf_efficientnet_b4_ap").image_size
        380
    """
    if pages is None:
        pages = default_pages()
    read = [read_page(page) for page in ([pages] if isinstance(pages, str | Path) else pages)]
    blocks = [(page, _validate(page)) for page in read]
    if problems := [*_duplicates(blocks), *_strays(blocks)]:
        raise ModelIndexError(problems)
    return ModelIndex(
        tuple(card for _, block in blocks for card in block.models),
        tuple(collection for _, block in blocks for collection in block.collections),
    )


def _validate(page: Page) -> _Block:
    try:
        return _Block.model_validate(page.data)
    except ValidationError as error:
        raise ModelIndexError(
            sorted(
                page.problem(each["loc"], in_words(each, _record(each["loc"][:-1]).meanings()))
                for each in error.errors()
                if each["type"] != "too_short" or not each["input"]  # not if the items it has are wrong
            )
        ) from error


def _record(location: tuple[str | int, ...]) -> type[Record]:
    """What stands at a place of the YAML."""
    if not location:
        return _Block
    return ModelCard if location[0] == "Models" else Paper if "Paper" in location else Collection


def _duplicates(blocks: list[tuple[Page, _Block]]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], Problem] = {}
    for page, block in blocks:
        names = [("Models", at, card.name) for at, card in enumerate(block.models)]
        names += [("Collections", at, each.name) for at, each in enumerate(block.collections)]
        for kind, at, name in names:
            here = page.problem((kind, at, "Name"), "")
            first = seen.setdefault((kind, name), here)
            if first is not here:
                told = f"{name!r} is at {first.file}:{first.line} already; rename or remove one"
                yield here._replace(message=told)


def _strays(blocks: list[tuple[Page, _Block]]) -> Iterator[Problem]:
    """Models of no collection, and fields that are missing or should not be there."""
    known = [collection.name for _, block in blocks for collection in block.collections]
    for page, block in blocks:
        for at, card in enumerate(block.models):
            if card.collection not in known:
                told = f"Collections has no {card.collection!r}; {nearest(card.collection, known)}"
                yield page.problem(("Models", at, "In Collection"), told)
            for label, told in _parts(card):
                yield page.problem(("Models", at, f"Metadata.{label}"), told)


def _parts(card: ModelCard) -> Iterator[tuple[str, str]]:
    """Fields that are missing beside the technique that they are a part of, or that stand without it."""
    recipe = ("Training Techniques", *card.training_techniques) if card.training_techniques else ()
    for term in card.terms():
        wholes = _PARTS_OF.get(term.field, ())
        found = [whole for whole in wholes if whole in (*recipe, *card.architecture)]
        missing = getattr(card, term.field) is None
        if found and missing and recipe:
            yield term.label, f"is missing beside {found[0]}; give: {term.meaning}"
        elif wholes and not found and not missing:
            told = "which the card does not name; add it or take this out"
            yield term.label, f"belongs to {' or '.join(wholes)}, {told}"
