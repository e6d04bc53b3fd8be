"""Data by name: the digits, folders and archives of images, and all that timm can read.

What can be known of the data before training is looked at here: classes that do not match, folders
without images, labels that are none of the classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.data.dataset_factory import create_dataset
from timm.data.readers.img_extensions import get_img_extensions
from timm.data.transforms_factory import create_transform
from torch import Tensor

from advprop.data import Data, Images, TensorSet, digits
from advprop.loaders import LoadedSet, Reading
from advprop.recipe import Recipe

_LARGEST_RESIDENT = 2 * 2**30  # bytes
_SYNONYMS = {"train": ("training",), "validation": ("val", "valid", "eval", "test")}


def open_data(recipe: Recipe, config: Mapping[str, Any]) -> Data:
    """The data of a recipe.

    Small sets of images of one size are kept on the device, as bytes; other images are read as needed.

    Args:
        recipe: Says which data, and how they are read.
        config: What the model wants of its images (`models.data_config`).

    Raises:
        ValueError: If there are no such data, or their labels are not right.
    """
    if recipe.data == "digits":
        return digits(recipe.train_images, recipe.seed)
    train, test = (_open_split(recipe, training) for training in (True, False))
    names = class_names(train, recipe.classes)
    if _is_resident(train) and _is_resident(test):
        return _resident(recipe, train, test, names)
    _check_same_classes(train, test)
    size = recipe.image_size or config["input_size"][1]
    images = Images(
        class_names=names,
        shape=(recipe.channels or 3, size, size),
        crop_pct=recipe.crop_pct or config["crop_pct"],
        crop_mode=config["crop_mode"],
        interpolation=recipe.interpolation or config["interpolation"],
    )
    sets = [
        LoadedSet(source, _reading(recipe, config, images, training))
        for source, training in ((train, True), (test, False))
    ]
    return Data(train=sets[0], test=sets[1], **vars(images))


def class_names(source: Any, classes: int | None = None) -> tuple[str, ...]:
    """The names of the classes of a data set, by label; their numbers, where it has no names.

    Raises:
        ValueError: If neither the data nor `classes` tell how many there are, or they disagree.
    """
    mapping = _class_map(source)
    labels = getattr(source, "targets", None)
    if mapping:
        found = {index: str(name) for name, index in mapping.items()}
        names = tuple(found.get(index, str(index)) for index in range(max(found) + 1))
    elif labels is not None or classes is not None:
        count = classes if labels is None else int(np.asarray(labels).max()) + 1
        names = tuple(map(str, range(count or 0)))
    else:
        raise ValueError("the data do not tell the number of classes; give it: --classes")
    if classes is not None and len(names) > classes:
        raise ValueError(f"the data have {len(names)} classes, and the recipe has classes: {classes}")
    return names + tuple(map(str, range(len(names), classes or 0)))


def _class_map(source: Any) -> dict[Any, int]:
    """The label of each class by name; empty where the data have no names."""
    reader = getattr(source, "reader", source)
    found = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None)
    return dict(found or {})


def _open_split(recipe: Recipe, training: bool) -> Any:
    split = recipe.train_split if training else recipe.test_split
    path = Path(recipe.data).expanduser()
    prefix = recipe.data.partition("/")[0].lower()
    if path.exists():
        return _open_folder(_folder(path, split), recipe)
    if prefix not in ("torch", "hfds"):
        raise ValueError(
            f"there are no data {recipe.data!r}: no such folder, and no name such as digits, "
            "torch/fashion_mnist, hfds/..."
        )
    root = recipe.data_dir or ("data" if prefix == "torch" else None)
    try:
        return create_dataset(
            recipe.data, root=root, split=split, download=recipe.download, is_training=training
        )
    except (RuntimeError, AssertionError, OSError, ImportError) as error:
        hint = "" if recipe.download or prefix != "torch" else "; --download fetches what is known by name"
        raise ValueError(
            f"cannot open {recipe.data} in {root}: {' '.join(str(error).split())}{hint}"
        ) from error


def _folder(root: Path, split: str) -> Path:
    """The folder or the archive of a split."""
    names = (split, *_SYNONYMS.get(split, ()))
    for name in names:
        for path in (root / name, root / f"{name}.tar"):
            if path.exists():
                return path
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
    raise ValueError(f"{root} has no folder {' or '.join(names)}; it has {there}")


def _open_folder(path: Path, recipe: Recipe) -> Any:
    if path.is_dir():
        _check_no_empty_class(path)
    try:
        return create_dataset("", root=str(path), search_split=False)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"there are no images in the folders of {path}: {error}") from error


def _check_no_empty_class(path: Path) -> None:
    endings = get_img_extensions(as_set=True)
    for folder in sorted(each for each in path.iterdir() if each.is_dir()):
        if not any(file.suffix.lower() in endings for file in folder.rglob("*")):
            raise ValueError(f"the class {folder} has no images; remove the folder, or fill it")


def _check_same_classes(train: Any, test: Any) -> None:
    mappings = [_class_map(source) for source in (train, test)]
    if mappings[0] != mappings[1]:
        only = [sorted(set(mappings[i]) - set(mappings[1 - i]), key=str) for i in range(2)]
        raise ValueError(
            f"training and test images have different classes: {len(mappings[0])} and {len(mappings[1])}; "
            f"only in training: {only[0]}, only in testing: {only[1]}"
        )


def _reading(recipe: Recipe, config: Mapping[str, Any], images: Images, training: bool) -> Reading:
    settings: dict[str, Any] = {
        "scale": recipe.scale or (1.0, 1.0),
        "ratio": None if recipe.scale else (1.0, 1.0),
        "hflip": recipe.flip,
        "color_jitter": recipe.color_jitter or None,
        "auto_augment": recipe.auto_augment,
        "interpolation": images.interpolation,
        "crop_pct": images.crop_pct,
        "crop_mode": images.crop_mode,
        "mean": config["mean"],
        "std": config["std"],
        "use_prefetcher": True,  # bytes, and no normalisation
    }
    try:
        transform = create_transform(images.shape, is_training=training, **settings)
    except (AssertionError, KeyError, ValueError) as error:
        raise ValueError(f"there is no auto_augment {recipe.auto_augment!r}: {error}") from error
    return Reading(
        transform=transform,
        channels=images.shape[0],
        classes=len(images.class_names),
        seed=recipe.seed if training else None,
        bad_images=recipe.bad_images,
        workers=recipe.workers,
    )


def _is_resident(source: Any) -> bool:
    """Whether all images of a set are there as one array that a device can hold."""
    data = getattr(source, "data", None)
    return isinstance(data, Tensor | np.ndarray) and data.nbytes <= _LARGEST_RESIDENT


def _resident(recipe: Recipe, train: Any, test: Any, names: Sequence[str]) -> Data:
    sets = [_tensors(source, recipe.channels, recipe.image_size, len(names)) for source in (train, test)]
    _, channels, height, width = sets[0].images.shape
    return Data(train=sets[0], test=sets[1], class_names=tuple(names), shape=(channels, height, width))


def _tensors(source: Any, channels: int | None, size: int | None, classes: int) -> TensorSet:
    """The images of a torchvision set as bytes `[N, C, H, W]`."""
    images = torch.as_tensor(source.data)
    labels = torch.as_tensor(source.targets).long()
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)
    if channels == 3 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    elif channels == 1 and images.shape[1] == 3:
        grey = images.new_tensor([299, 587, 114], dtype=torch.long).view(1, 3, 1, 1)
        images = ((images * grey).sum(1, keepdim=True) // 1000).byte()
    if size is not None and size != images.shape[2]:
        parts = (
            F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
            for part in images.split(1000)
        )
        images = torch.cat([part.round().clamp(0, 255).byte() for part in parts])
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must be from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )
    return TensorSet(images.contiguous(), labels)
