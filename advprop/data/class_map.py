"""The labels of a data set: their names, their number, and whether they can be right."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from advprop.data.image_files import class_of, name_of
from advprop.runtime import first_of, rank_and_ranks

logger: logging.Logger = logging.getLogger(__name__)


def class_names(source: Any, classes: int | None = None) -> tuple[str, ...]:
    """The names of the classes of a data set, by label; their numbers, where it has no names.

    Args:
        source: A timm or torchvision data set.
        classes: How many there are, where the data do not tell or have fewer.

    Raises:
        ValueError: If neither the data nor `classes` tell how many there are, or they disagree.
    """
    known = {label: str(name) for name, label in _class_map(source).items()}
    labels = labels_of(source)
    if not known and labels is None and classes is None:
        raise ValueError("the data do not tell the number of classes; give it: --classes")
    count = max(known) + 1 if known else int(labels.max()) + 1 if labels is not None else 0
    if classes is not None and count > classes:
        raise ValueError(
            f"the data have {count} classes, and the model is to have --classes {classes}; "
            f"give {count} or more"
        )
    return tuple(known.get(label, str(label)) for label in range(max(count, classes or 0)))


def labels_of(source: Any) -> np.ndarray | None:
    """The label of each image `[N]`, where they are known without a look at the images.

    Raises:
        ValueError: If an image has no label.
    """
    reader = getattr(source, "reader", source)
    labels: Any = getattr(reader, "targets", None)
    if hasattr(reader, "label_key"):  # Hugging Face's
        labels = list(reader.dataset[reader.label_key])
    elif isinstance(samples := getattr(reader, "samples", None), list):
        labels = [label for _, label, *_ in samples]
    if labels is None:
        return None
    for number, label in enumerate(labels):
        if label is None:
            raise ValueError(f"{name_of(source, number)} has no label")
    found = np.asarray(labels, dtype=np.int64)
    return found if found.ndim == 1 else found[:, 0]  # QMNIST tells more of each image than its class


def check_labels(source: Any, names: tuple[str, ...], every_class: bool) -> None:
    """Raises ValueError if a label is of no class, or `every_class` is to have images and one has none."""
    labels = labels_of(source)
    if labels is None:
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise ValueError(
            f"labels must be from 0 to {len(names) - 1}, and that of {len(wrong)} images is not: "
            f"{name_of(source, int(wrong[0]))} has {labels[wrong[0]]}"
        )
    empty = sorted(set(range(len(names))) - set(labels.tolist())) if every_class else []
    if empty:
        told = first_of([names[label] for label in empty])
        raise ValueError(
            f"{len(empty)} of {len(names)} classes have no training images: {told}; "
            f"if that is meant: --classes {len(names)}"
        )


def labels_of_test(source: Any, known: Sequence[str]) -> tuple[int, ...]:
    """The label in the training of each class of some test images; logs which classes have none of these.

    Args:
        source: The test images, a timm or torchvision data set. Where they have only numbers for classes,
            these are the labels of the training.
        known: The classes of the training, by their label.

    Raises:
        ValueError: If a class is not among those of the training, or a label is none of the classes.
    """
    names = class_names(source) if _class_map(source) else tuple(known)
    check_labels(source, names, every_class=False)
    own = {class_of(name): label for label, name in enumerate(known)}  # by one spelling of each accent
    if strange := [name for name in names if class_of(name) not in own]:
        raise ValueError(
            f"classes of test images must be among those of the training ({first_of(known)}), got "
            f"{len(strange)} that are not: {first_of(strange)}; rename these folders, or take them out"
        )
    labels = tuple(own[class_of(name)] for name in names)
    of_images = labels_of(source)
    tested = {labels[label] for label in ([] if of_images is None else np.unique(of_images))}
    untested = [name for label, name in enumerate(known) if label not in tested]
    if tested and untested and rank_and_ranks(all_ranks=True)[0] == 0:
        logger.warning(
            "%d of %d classes have no test images: %s; accuracy is over the others",
            *(len(untested), len(known), first_of(untested)),
        )
    return labels


def _class_map(source: Any) -> dict[Any, int]:
    """The label of each class by name; empty where the data have no names."""
    reader = getattr(source, "reader", source)
    found = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
    return dict(found or {})
