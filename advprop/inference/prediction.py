"""Predictions: image files or PIL images in, names and probabilities out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from PIL import Image
from timm.utils.model import unwrap_model
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from advprop.attacks import in_mode
from advprop.data import ENDINGS, batches_of, find_image_files, printable, read_image, reading
from advprop.models import (
    check_configured,
    check_names,
    create_transform,
    data_config,
    exif_orientation,
    names_of_classes,
)
from advprop.runtime import brief, format_table, without_gradients

Picture: TypeAlias = Path | str | Image.Image


class Guess(NamedTuple):
    """A class that a picture may be of.

    Attributes:
        label: Number of the class.
        name: Name of the class.
        probability: How sure the model is, in [0, 1].

    Examples:
        >>> from advprop import Guess
        >>> Guess(label=3, name="cat", probability=0.75).name
        'cat'
    """

    label: int
    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model takes a picture for.

    Args:
        image: Path of the picture, or its number where it has none.
        guesses: The likeliest classes, the best first; none if the picture could not be read.
        problem: Why it could not be read; empty if it could.

    Examples:
        >>> from advprop import Guess, Prediction
        >>> guesses = (Guess(1, "dog", 0.8), Guess(0, "cat", 0.2))
        >>> Prediction(image="rex.jpg", guesses=guesses).best.name
        'dog'
    """

    image: str
    guesses: tuple[Guess, ...] = ()
    problem: str = ""

    @property
    def best(self) -> Guess:
        """The likeliest class.

        Raises:
            ValueError: If the picture could not be read.
        """
        if not self.guesses:
            raise ValueError(f"there is no prediction of {self.image}: {self.problem}")
        return self.guesses[0]

    def to_dict(self) -> dict[str, Any]:
        """Numbers and texts only, for a file."""
        if self.problem:
            return {"image": self.image, "problem": self.problem}
        return {"image": self.image, "guesses": [guess._asdict() for guess in self.guesses]}


def predict(
    model: nn.Module,
    images: Picture | Iterable[Picture],
    top: int = 5,
    class_names: Sequence[str] | None = None,
    *,
    batch_size: int = 32,
    workers: int = 0,
    bad_images: Literal["stop", "skip"] = "stop",
    progress: bool = False,
) -> list[Prediction]:
    """What a model takes pictures for, each with its likeliest classes, in the order of the pictures.

    A picture is read as in the tests of the training: in gray for a model of one channel, with the size,
    the crop and the normalization of the model's own configuration. The model runs where it is, in
    evaluation mode, and its training flags are as before afterwards.

    Args:
        model: A timm model, or what holds one, such as DDP; auxiliary norms answer by the branch they are on.
        images: Paths and PIL images, or a single one.
        top: How many classes to name; all, if there are fewer.
        class_names: Names of the classes by label; by default the model's own, ImageNet's, or numbers.
        batch_size: Pictures that go through the model at once.
        workers: Processes that read pictures; 0: this one does.
        bad_images: Whether to `"stop"` at a picture that cannot be read, or to `"skip"` to the next one and
            say so in the prediction.
        progress: Whether to show a bar.

    Raises:
        ValueError: If a number is too small, a class has no name, or the model is none of timm's.
        OSError: If a picture cannot be read.

    Examples:
        >>> from PIL import Image
        >>> from advprop import create_model, predict
        >>> model = create_model("test_resnet", num_classes=2)
        >>> [prediction] = predict(model, Image.new("RGB", (300, 200)), class_names=("cat", "dog"))
        >>> sorted(guess.name for guess in prediction.guesses)
        ['cat', 'dog']
    """
    for name, number, least in (("top", top, 1), ("batch_size", batch_size, 1), ("workers", workers, 0)):
        if number < least:
            raise ValueError(f"{name} must be {least} or more, got {number}")
    model = unwrap_model(model)
    several = [images] if isinstance(images, Path | str | Image.Image) else list(images)
    if class_names is not None:
        check_names(class_names, getattr(model, "num_classes", len(class_names)))
    names = names_of_classes(model) if class_names is None else class_names.__getitem__
    loader = DataLoader(_Pictures(several, model), batch_size, num_workers=workers, collate_fn=list)
    found: list[Prediction] = []
    shown = tqdm(total=len(several), desc="predicting", unit=" images", disable=not progress)
    with in_mode(model, "eval"), without_gradients(), shown:
        for read in batches_of(loader):
            if bad_images == "stop" and (bad := [each for each in read if each.problem]):
                raise OSError(f"cannot read {bad[0].name}: {bad[0].problem}")
            found += _predict_batch(model, read, top, names)
            shown.update(len(read))
    return found


def find_images(paths: Iterable[Path | str]) -> list[Path]:
    """The files that paths stand for: of a folder all images in it and in its folders, in natural order.

    Links are followed, each file of a folder counts once, and what is left out is written to the log.

    Raises:
        ValueError: If a path is not there, or a folder holds no images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"there is no image and no folder {path}")
        if not path.is_dir():
            found.append(path)
            continue
        tree = find_image_files(path)
        tree.left_out.report(path)
        if not tree.files:
            raise ValueError(f"the folder {path} holds no images ({', '.join(ENDINGS)})")
        found += [path / file for file in tree.files]
    return found


def prediction_table(predictions: Iterable[Prediction]) -> str:
    """The predictions of the pictures that could be read, for a terminal; empty if there are none.

    Examples:
        >>> from advprop.inference.prediction import Guess, Prediction, prediction_table
        >>> guesses = (Guess(1, "dog", 0.8), Guess(0, "cat", 0.2))
        >>> print(prediction_table([Prediction(image="rex.jpg", guesses=guesses)]))
        image    class  probability, %
        rex.jpg  dog              80.0
                 cat              20.0
    """
    rows = [
        ("" if place else printable(each.image), guess.name, f"{100 * guess.probability:.1f}")
        for each in predictions
        for place, guess in enumerate(each.guesses)
    ]
    return format_table(("image", "class", "probability, %"), rows, right={2}) if rows else ""


class _Sample(NamedTuple):
    """An image as the model expects it, or why there is none."""

    name: str
    pixels: Tensor | None
    problem: str = ""


class _Pictures(Dataset[_Sample]):
    """Images as the model expects them."""

    def __init__(self, images: Sequence[Picture], model: nn.Module) -> None:
        check_configured(model)
        self.images = images
        self.exif_orientation = exif_orientation(model)
        self.channels: int = data_config(model)["input_size"][0]
        if self.channels not in (1, 3):
            raise ValueError(f"the model must take images of 1 or 3 channels, and takes {self.channels}")
        self.transform = create_transform(model)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> _Sample:
        image = self.images[number]
        name = f"image {number}" if isinstance(image, Image.Image) else str(image)
        try:
            with reading():
                pixels = read_image(image, self.channels, self.exif_orientation)
            return _Sample(name, self.transform(pixels))
        except (OSError, ValueError) as error:
            return _Sample(name, None, brief(error))


def _predict_batch(
    model: nn.Module, read: Sequence[_Sample], top: int, names: Callable[[int], str]
) -> Iterator[Prediction]:
    pixels = [sample.pixels for sample in read if sample.pixels is not None]
    rows: Iterator[list[Guess]] = iter(())
    if pixels:
        shares = model(torch.stack(pixels).to(next(model.parameters()))).float().softmax(1)
        best = shares.topk(min(top, shares.shape[1]))
        rows = (
            [Guess(label, names(label), share) for label, share in zip(*row, strict=True)]
            for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        )
    for sample in read:
        guesses = () if sample.problem else tuple(next(rows))
        yield Prediction(image=sample.name, guesses=guesses, problem=sample.problem)
