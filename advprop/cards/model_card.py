"""The records of the model index: a model's card, a collection and its paper."""

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1)]
Address = Annotated[str, Field(pattern=r"^https?://\S+$")]
Source = Annotated[str, Field(pattern=r"^(https?://\S+|advprop/[\w/]+\.py)$")]
Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def field(label: str, meaning: str, **more: Any) -> Any:
    """A field of a record by its name in the YAML, with what it means."""
    return Field(title=label, description=meaning, **{"validation_alias": label} | more)


def _metadata(label: str, meaning: str, **more: Any) -> Any:
    return field(f"Metadata.{label}", meaning, **more)


class Record(BaseModel):
    """A record: all fields are known, none is changed."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """What each field means, by its name in the YAML."""
        return {str(info.title): str(info.description) for info in cls.model_fields.values()}


class Term(NamedTuple):
    """A field of a card: its name here and in the YAML, what it means, and its range."""

    field: str
    label: str
    meaning: str
    range: str = ""


class ModelCard(Record):
    """One model of a model index. The field `lr` is `LR` under `Metadata` in the YAML, and so on.

    A card states a recipe (Training Techniques, Epochs, Batch Size, LR), or none if none was published.
    """

    name: Name = field("Name", "name when it was published, such as tf_efficientnet_b0_ap")
    flops: Count = _metadata("FLOPs", "operations of a forward pass, by the definition in `advprop verify`")
    epochs: Count | None = _metadata("Epochs", "passes over the training data", default=None)
    batch_size: Count | None = _metadata(
        "Batch Size", "images in one optimizer step, over all devices", default=None
    )
    training_data: Texts = _metadata("Training Data", "data sets it was trained on")
    training_techniques: Texts | None = _metadata(
        "Training Techniques", "what its training consisted of", default=None
    )
    architecture: Texts = _metadata("Architecture", "building blocks of the network")
    file_size: Count = _metadata("File Size", "bytes of the checkpoint as first published")
    tasks: Texts = _metadata("Tasks", "what it does")
    id: Name = _metadata("ID", "identifier, the same as its name")
    lr: Positive | None = _metadata("LR", "peak learning rate for the whole batch; above 0", default=None)
    crop_pct: Annotated[float, Field(gt=0, le=1)] = _metadata(
        "Crop Pct", "side of the center crop over that of the resized image; above 0 and at most 1"
    )
    momentum: Share | None = _metadata("Momentum", "momentum of the optimizer; from 0 to 1", default=None)
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
    code: Source = field("Code", "https address of its source code, or its file in this package")
    collection: Text = field("In Collection", "collection it belongs to")

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, entry: Any) -> Any:
        """Give the fields under `Metadata` dotted names, which errors then show."""
        if not isinstance(entry, dict):
            return entry
        metadata = entry.get("Metadata")
        if not isinstance(metadata, dict):
            raise PydanticCustomError(
                "no_metadata", "must have its fields under Metadata; indent them below it"
            )
        rest = {key: value for key, value in entry.items() if key != "Metadata"}
        return rest | {f"Metadata.{key}": value for key, value in metadata.items()}

    @classmethod
    def terms(cls) -> tuple[Term, ...]:
        """Every field in the order of the YAML, with the name that it has there and its meaning."""
        return tuple(
            Term(name, label.removeprefix("Metadata."), *meaning.split("; ", 1))
            for name, (label, meaning) in zip(cls.model_fields, cls.meanings().items(), strict=True)
        )


# The site of this address has shut down.
_MOVED = {
    "https://paperswithcode.com//paper/adversarial-examples-improve-image": "https://arxiv.org/abs/1911.09665"
}


class Paper(Record):
    """The paper of a collection."""

    title: Text = field("title", "title of the paper", validation_alias=AliasChoices("title", "Title"))
    url: Address = field("url", "https address of the paper", validation_alias=AliasChoices("url", "URL"))

    @property
    def address(self) -> str:
        """Where the paper is today."""
        return _MOVED.get(self.url, self.url)


class Collection(Record):
    """Models that share a method and a paper."""

    name: Text = field("Name", "name of the collection")
    paper: Paper = field("Paper", "title and url of the paper")
    type: Literal["model-index"] | None = field("type", "model-index, or left out", default=None)
