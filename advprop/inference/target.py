"""A trained model, and test images that are not those of its run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from advprop.attacks import PixelModel
from advprop.data import Batches, Images, class_of, open_test
from advprop.inference.load import load_model, on_device
from advprop.models import data_config, exif_orientation, labels_by_name
from advprop.norms import MAIN
from advprop.recipes import DataSettings
from advprop.runtime import join


@contextmanager
def model_and_images(
    source: Path | str,
    data: DataSettings,
    branch: str = MAIN,
    device: str = "auto",
    batch_size: int = 100,
) -> Iterator[tuple[PixelModel, Batches]]:
    """A trained model and test images, prepared as the model expects them, with its labels.

    Args:
        source: As for `load_model`.
        data: Which images.
        branch: For a run, whose batch norms the model has.
        device: Where they should be.
        batch_size: Number of images that are tested at once, on each device.

    Raises:
        ValueError: If there is no such model, there are no such data, or their classes are not the model's.
    """
    model = load_model(source, branch)
    config = data_config(model)
    expected = Images(
        class_names=tuple(labels_by_name(model)),
        shape=config["input_size"],
        exif_orientation=exif_orientation(model),
        **{key: config[key] for key in ("crop_pct", "crop_mode", "interpolation")},
    )
    with join(device) as world:
        images = open_test(data, expected, lambda names: labels_for(model, names))
        yield on_device(model, images, batch_size, world)


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
    known = {class_of(name): label for name, label in labels_by_name(model).items()}
    strange = [name for name in names if class_of(name) not in known]
    if not strange:
        return tuple(known[class_of(name)] for name in names)
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
