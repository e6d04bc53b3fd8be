"""A trained model and test images that are not those of its run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from advprop.attacks import PixelModel
from advprop.data import Batch, Batches, open_test
from advprop.inference.load import load_model
from advprop.inference.prediction import label_names
from advprop.models import data_config
from advprop.norms import MAIN
from advprop.recipes import Recipe
from advprop.runtime import join

_TEST_BATCH = 100


@contextmanager
def model_and_images(
    source: Path | str, recipe: Recipe, branch: str = MAIN, device: str = "auto"
) -> Iterator[tuple[PixelModel, Relabelled]]:
    """A trained model and the test images of a recipe, prepared as the model wants them.

    Args:
        source: Directory of a run, folder of an exported model, or name of a model with pretrained weights.
        recipe: Says which data they are.
        branch: For a run, whose batch norms the model has.
        device: Where they should be.

    Raises:
        ValueError: If there is no such model, there are no such data, or their classes are not the model's.
    """
    model = load_model(source, branch)
    config = data_config(model)
    with join(device) as world:
        images, names = open_test(recipe, config)
        ranks = {"rank": world.rank, "ranks": world.ranks}
        batches = Batches(images.to(world.device), _TEST_BATCH * world.ranks, **ranks)
        model = model.to(world.device)
        yield PixelModel(model, config["mean"], config["std"]), Relabelled(batches, labels_for(model, names))


class Relabelled:
    """Batches whose labels are those of a model.

    Args:
        batches: Pixels and labels.
        labels: The model's label of each label of the data.
    """

    def __init__(self, batches: Batches, labels: Sequence[int]) -> None:
        self.batches = batches
        self.labels = torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for images, labels in self.batches:
            yield images, self.labels.to(labels.device)[labels]


def labels_for(model: nn.Module, names: Sequence[str]) -> tuple[int, ...]:
    """The model's label of each class of some data, by the names of the classes.

    Where the model or the data have no names, they must have equally many classes, in the same order.

    Raises:
        ValueError: If the data have classes that the model does not know.

    Examples:
        >>> from types import SimpleNamespace
        >>> from advprop.inference.target import labels_for
        >>> config = {"num_classes": 3, "label_names": ("ant", "bee", "cat")}
        >>> labels_for(SimpleNamespace(num_classes=3, pretrained_cfg=config), ("bee", "cat"))
        (1, 2)
    """
    known = label_names(model)
    strange = [name for name in names if name not in known]
    if not strange:
        return tuple(known[name] for name in names)
    count = int(getattr(model, "num_classes", 0))
    unnamed = tuple(names) == tuple(map(str, range(len(names))))
    if known and not unnamed:
        raise ValueError(
            f"the model does not know {len(strange)} of the {len(names)} classes of the data "
            f"({', '.join(strange[:3])}); it knows {', '.join(list(known)[:3])} ... ({count} classes)"
        )
    if len(names) != count:
        raise ValueError(
            f"the data have {len(names)} classes, and the model has {count}, without a common name"
        )
    return tuple(range(count))
