"""The model index: the YAML at the end of a model page, read into typed records.

One block of YAML renders the cards of the site, is the recipe of a training run, and is compared with the
code (`advprop verify`). It stands in the comment that a page ends with, or in the page's front matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from advprop.cards.page import ModelIndexError, Page, Problem, in_words, read_page
from advprop.runtime import nearest, package_folder

_METADATA = "Metadata"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]
Address = Annotated[str, Field(pattern=r"^https?://\S+$")]
Source = Annotated[str, Field(pattern=r"^(https?://\S+|advprop/[\w/]+\.py)$")]
Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

# Fields that say how much there was of a technique or a building block: they stand on cards that name one of
# these, and on no others.
_PARTS_OF = {
    "momentum": ("RMSProp", "SGD with Momentum"),
    "weight_decay": ("Weight Decay",),
    "rmsprop_decay": ("RMSProp",),
    "label_smoothing": ("Label Smoothing",),
    "batch_norm_momentum": ("Batch Normalization",),
}


def _field(label: str, meaning: str, **more: Any) -> Any:
    return Field(validation_alias=label, description=meaning, **more)


def _metadata(label: str, meaning: str, **more: Any) -> Any:
    return _field(f"{_METADATA}.{label}", meaning, **more)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Term(NamedTuple):
    """A field of a card: its name here and in the YAML, what it means, and its range."""

    field: str
    label: str
    meaning: str
    range: str = ""


class ModelCard(_Record):
    """One model of a model index. The field `lr` is `LR` under `Metadata` in the YAML, and so on."""

    name: Name = _field("Name", "name when it was published, such as tf_efficientnet_b0_ap")
    flops: Count = _metadata("FLOPs", "operations of a forward pass, by the definition in `advprop verify`")
    epochs: Count = _metadata("Epochs", "passes over the training data")
    batch_size: Count = _metadata("Batch Size", "images in one optimiser step, over all devices")
    training_data: Texts = _metadata("Training Data", "data sets it was trained on")
    training_techniques: Texts = _metadata("Training Techniques", "what its training consisted of")
    architecture: Texts = _metadata("Architecture", "building blocks of the network")
    file_size: Count = _metadata("File Size", "bytes of the checkpoint as first published")
    tasks: Texts = _metadata("Tasks", "what it does")
    id: Name = _metadata("ID", "identifier, the same as its name")
    lr: Positive = _metadata("LR", "peak learning rate for the whole batch; above 0")
    crop_pct: Annotated[float, Field(gt=0, le=1)] = _metadata(
        "Crop Pct", "side of the centre crop over that of the resized image; above 0 and at most 1"
    )
    momentum: Share | None = _metadata("Momentum", "momentum of the optimiser; from 0 to 1", default=None)
    image_size: Count = _metadata("Image Size", "height and width of the input in pixels")
    weight_decay: Share | None = _metadata(
        "Weight Decay", "L2 penalty on the weights; from 0 to 1", default=None
    )
    interpolation: Literal["bicubic", "bilinear", "nearest", "lanczos"] = _metadata(
        "Interpolation", "how images are resized"
    )
    rmsprop_decay: Share | None = _metadata(
        "RMSProp Decay", "decay of the mean of squared gradients; from 0 to 1", default=None
    )
    label_smoothing: Share | None = _metadata(
        "Label Smoothing", "share of a label spread over the classes; from 0 to 1", default=None
    )
    batch_norm_momentum: Share | None = _metadata(
        "BatchNorm Momentum",
        "share of the running statistics that a batch norm keeps, as TensorFlow has it; from 0 to 1",
        default=None,
    )
    parameters: Count | None = _metadata("Parameters", "number of parameters", default=None)
    code: Source = _field("Code", "https address of its source code, or its file in this package")
    collection: Text = _field("In Collection", "collection it belongs to")

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, entry: Any) -> Any:
        """Give the fields under `Metadata` dotted names, which errors then show."""
        if not isinstance(entry, dict):
            return entry
        metadata = entry.get(_METADATA)
        if not isinstance(metadata, dict):
            raise PydanticCustomError(
                "no_metadata", "must have its fields under Metadata; indent them below it"
            )
        rest = {key: value for key, value in entry.items() if key != _METADATA}
        return rest | {f"{_METADATA}.{key}": value for key, value in metadata.items()}

    @classmethod
    def terms(cls) -> tuple[Term, ...]:
        """Every field in the order of the YAML, with the name that it has there and its meaning."""
        return tuple(
            Term(
                name,
                str(info.validation_alias).removeprefix(f"{_METADATA}."),
                *(info.description or "").split("; ", 1),
            )
            for name, info in cls.model_fields.items()
        )


# The site of this address has shut down.
_MOVED = {
    "https://paperswithcode.com//paper/adversarial-examples-improve-image": "https://arxiv.org/abs/1911.09665"
}


class Paper(_Record):
    """The paper of a collection."""

    title: Text = Field(validation_alias=AliasChoices("title", "Title"), description="title of the paper")
    url: Address = Field(
        validation_alias=AliasChoices("url", "URL"), description="https address of the paper"
    )

    @property
    def address(self) -> str:
        """Where the paper is today."""
        return _MOVED.get(self.url, self.url)


class Collection(_Record):
    """Models that share a method and a paper."""

    name: Text = _field("Name", "name of the collection")
    paper: Paper = _field("Paper", "title and url of the paper")
    type: Literal["model-index"] | None = _field("type", "model-index, or left out", default=None)


class _Block(_Record):
    """The whole block of YAML of one page."""

    models: Annotated[tuple[ModelCard, ...], Field(min_length=1)] = _field("Models", "list of models")
    collections: Annotated[tuple[Collection, ...], Field(min_length=1)] = _field(
        "Collections", "list of collections"
    )
    type: Literal["model-index"] = _field("Type", "model-index")


@dataclass(frozen=True)
class ModelIndex:
    """Models and collections of one or several pages, in the order of the pages."""

    models: tuple[ModelCard, ...]
    collections: tuple[Collection, ...]

    def model(self, name: str) -> ModelCard:
        """The model of this name.

        Raises:
            ValueError: If there is none; the message has the nearest names.
        """
        for card in self.models:
            if card.name == name:
                return card
        names = [card.name for card in self.models]
        raise ValueError(f"the model index has no {name!r}; {nearest(name, names)}")

    def members(self, collection: str) -> tuple[ModelCard, ...]:
        """The models of a collection."""
        return tuple(card for card in self.models if card.collection == collection)


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
    if problems := [*_duplicates(blocks), *_strays(blocks), *_parts(blocks)]:
        raise ModelIndexError(problems)
    return ModelIndex(
        tuple(card for _, block in blocks for card in block.models),
        tuple(collection for _, block in blocks for collection in block.collections),
    )


def _validate(page: Page) -> _Block:
    try:
        block = _Block.model_validate(page.data)
    except ValidationError as error:
        problems = [
            page.problem(each["loc"], in_words(each, _labels(each["loc"][:-1])))
            for each in error.errors()
            if each["type"] != "too_short" or not each["input"]  # a list of wrong items is not short of them
        ]
        raise ModelIndexError(sorted(problems)) from error
    return block


def _labels(location: tuple[str | int, ...]) -> dict[str, str]:
    """What the fields of the record at this place are called in the YAML, with their meanings."""
    records: dict[str | int, type[_Record]] = {"Models": ModelCard, "Collections": Collection}
    record = Paper if "Paper" in location else records[location[0]] if location else _Block
    found = {}
    for info in record.model_fields.values():
        alias = info.validation_alias
        found[str(alias.choices[0] if isinstance(alias, AliasChoices) else alias)] = info.description or ""
    return found


def _duplicates(blocks: list[tuple[Page, _Block]]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], Problem] = {}
    for page, block in blocks:
        named: dict[str, tuple[ModelCard | Collection, ...]]
        named = {"Models": block.models, "Collections": block.collections}
        for kind, records in named.items():
            for position, record in enumerate(records):
                here = page.problem((kind, position, "Name"), "")
                first = seen.setdefault((kind, record.name), here)
                if first is not here:
                    told = f"{record.name!r} is at {first.file}:{first.line} already; rename or remove one"
                    yield here._replace(message=told)


def _strays(blocks: list[tuple[Page, _Block]]) -> Iterator[Problem]:
    known = [collection.name for _, block in blocks for collection in block.collections]
    for page, block in blocks:
        for position, card in enumerate(block.models):
            if card.collection not in known:
                told = f"Collections has no {card.collection!r}; {nearest(card.collection, known)}"
                yield page.problem(("Models", position, "In Collection"), told)


def _parts(blocks: list[tuple[Page, _Block]]) -> Iterator[Problem]:
    """Fields that are missing beside the technique that they are a part of, or that stand without it."""
    terms = {term.field: term for term in ModelCard.terms()}
    for page, block in blocks:
        for position, card in enumerate(block.models):
            named = {*card.training_techniques, *card.architecture}
            for field, wholes in _PARTS_OF.items():
                found = [whole for whole in wholes if whole in named]
                missing = getattr(card, field) is None
                if missing != bool(found):
                    continue
                told = (
                    f"belongs to {' or '.join(wholes)}, which the card does not name; add it or take this out"
                )
                if missing:
                    told = f"is missing beside {found[0]}; give: {terms[field].meaning}"
                yield page.problem(("Models", position, f"{_METADATA}.{terms[field].label}"), told)
