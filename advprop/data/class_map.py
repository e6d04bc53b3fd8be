"""The labels of a data set: their names, their number, and whether they can be right."""

from __future__ import annotations

from typing import Any

import numpy as np

from advprop.data.loaded_set import name_of


def class_names(source: Any, classes: int | None = None) -> tuple[str, ...]:
    """The names of the classes of a data set, by label; their numbers, where it has no names.

    Args:
        source: A data set of timm's or torchvision's.
        classes: How many there are, where the data do not tell or have fewer.

    Raises:
        ValueError: If neither the data nor `classes` tell how many there are, or they disagree.
    """
    mapping = _class_map(source)
    labels = labels_of(source)
    if mapping:
        found = {index: str(name) for name, index in mapping.items()}
        names = tuple(found.get(index, str(index)) for index in range(max(found) + 1))
    elif classes is not None or labels is not None:
        names = tuple(map(str, range(int(labels.max()) + 1 if labels is not None else 0)))
    else:
        raise ValueError("the data do not tell the number of classes; give it: --classes")
    if classes is not None and len(names) > classes:
        raise ValueError(f"the data have {len(names)} classes, and the recipe has classes: {classes}")
    return names + tuple(map(str, range(len(names), classes or 0)))


def labels_of(source: Any) -> np.ndarray | None:
    """The label of each image `[N]`, where they are known without a look at the images."""
    reader = getattr(source, "reader", source)
    labels: Any
    if hasattr(reader, "label_key"):  # Hugging Face's
        labels = list(reader.dataset[reader.label_key])
    elif hasattr(reader, "labels"):
        labels = reader.labels
    elif isinstance(samples := getattr(reader, "samples", None), list):
        labels = [label for _, label, *_ in samples]
    else:
        labels = getattr(reader, "targets", None)
    if labels is None:
        return None
    for number, label in enumerate(labels):
        if label is None:
            raise ValueError(f"{name_of(source, number)} has no label")
    found = np.asarray(labels, dtype=np.int64)
    return found if found.ndim == 1 else found[:, 0]  # QMNIST tells more of each image than its class


def check_labels(source: Any, names: tuple[str, ...], every_class: bool) -> None:
    """Raises ValueError if a label is none of the classes, or a class has no images.

    Args:
        source: A data set of timm's or torchvision's.
        names: The names of the classes.
        every_class: Whether each must have images.
    """
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
        told = ", ".join([names[label] for label in empty[:5]] + ["..."] * (len(empty) > 5))
        raise ValueError(
            f"{len(empty)} of {len(names)} classes have no training images: {told}; "
            f"if that is meant: --classes {len(names)}"
        )


def check_same_classes(train: Any, test: Any) -> None:
    """Raises ValueError if the classes of training and test images have other names."""
    mappings = [_class_map(source) for source in (train, test)]
    if mappings[0] != mappings[1]:
        only = [sorted(set(mappings[i]) - set(mappings[1 - i]), key=str) for i in range(2)]
        raise ValueError(
            f"training and test images have different classes: {len(mappings[0])} and {len(mappings[1])}; "
            f"only in training: {only[0]}, only in testing: {only[1]}"
        )


def _class_map(source: Any) -> dict[Any, int]:
    """The label of each class by name; empty where the data have no names."""
    reader = getattr(source, "reader", source)
    found = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
    return dict(found or {})
