"""Data by name: the digits, folders and archives of images, and all that timm can read.

What can be known of the data before training is looked at here: classes that do not match, folders
without images, labels that are none of the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timm.data.dataset import ImageDataset
from timm.data.dataset_factory import create_dataset
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from timm.data.transforms_factory import create_transform

from advprop.data.batches import Data, Images, ImageSet
from advprop.data.class_map import check_labels, check_same_classes, class_names
from advprop.data.image_files import ENDINGS, all_endings
from advprop.data.in_memory import can_stay, changed_alone, resident, resident_digits, to_tensors
from advprop.data.loaded_set import LoadedSet, Reading
from advprop.data.shards import Shards, find_shards
from advprop.data.timm_policies import mend_policy
from advprop.recipes import Recipe
from advprop.runtime import need_extra

_SYNONYMS = {"train": ("training",), "validation": ("val", "valid", "eval", "test")}
_STREAMS = ("tfds", "hfids")
# Of these, timm takes every split that it does not know for the test images.
_OF_TWO_SPLITS = ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
_SPLITS = ("train", "training", "test", "validation", "val", "valid", "eval", "evaluation")


def open_data(recipe: Recipe, config: Mapping[str, Any]) -> Data:
    """The data of a recipe.

    Small sets of images of one size are kept on the device, as bytes, unless each image is to be changed on
    its own; other images are read as needed.

    Args:
        recipe: Says which data, and how they are read.
        config: What the model wants of its images (`models.data_config`).

    Raises:
        ValueError: If there are no such data, their labels are not right, or a setting cannot act on them.
    """
    if recipe.data == "digits":
        return resident_digits(recipe)
    if recipe.train_split == recipe.test_split:
        raise ValueError(f"train_split and test_split must differ, got {recipe.train_split!r} for both")
    train, test = (_open_split(recipe, training) for training in (True, False))
    names = class_names(train, recipe.classes)
    check_same_classes(train, test)
    check_labels(train, names, every_class=recipe.classes is None)
    check_labels(test, names, every_class=False)
    if not changed_alone(recipe) and can_stay((train, test), recipe.channels, recipe.image_size):
        return resident(recipe, train, test, names)
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


def open_test(recipe: Recipe, config: Mapping[str, Any]) -> tuple[ImageSet, tuple[str, ...]]:
    """The test images of a recipe alone, in the size of a model, and the names of their classes.

    Args:
        recipe: Says which data, and how they are read.
        config: What the model wants of its images (`models.data_config`).

    Raises:
        ValueError: If there are no such data, or their labels are not right.
    """
    if recipe.data == "digits":
        raise ValueError(
            "which of the digits are for testing is up to the run; evaluate its directory, without --data"
        )
    source = _open_split(recipe, training=False)
    names = class_names(source, recipe.classes)
    check_labels(source, names, every_class=False)
    channels, height, _ = config["input_size"]
    as_trained = (config["crop_pct"], config["interpolation"]) == (1.0, "bilinear")
    if as_trained and can_stay((source,), channels, height):
        return to_tensors(source, channels, height, len(names)), names
    like = {key: config[key] for key in ("crop_pct", "crop_mode", "interpolation")}
    images = Images(class_names=names, shape=config["input_size"], **like)
    return LoadedSet(source, _reading(recipe, config, images, training=False)), names


def _open_split(recipe: Recipe, training: bool) -> Any:
    split = recipe.train_split if training else recipe.test_split
    path = Path(recipe.data).expanduser()
    if path.exists():
        return _open_folder(_folder(path, split), recipe)
    kind = recipe.data.partition("/")[0].lower()
    if kind == "wds":
        folder = _folder_of_name(recipe)
        shards = Shards(find_shards(folder, (split, *_SYNONYMS.get(split, ()))))
        return ImageDataset(str(folder), reader=shards)
    if kind == "hfds":
        need_extra("hfds", "datasets")
    elif kind in _STREAMS:
        raise ValueError(
            f"{recipe.data} is a stream, in which no run could go on where it stopped; "
            "save it as a folder, as shards (wds/...) or with Hugging Face (hfds/...)"
        )
    elif kind != "torch":
        raise ValueError(
            f"there are no data {recipe.data!r}: no such folder, and no name such as digits, "
            "torch/fashion_mnist, hfds/..., wds/..."
        )
    elif recipe.data.partition("/")[2].lower() in _OF_TWO_SPLITS and split not in _SPLITS:
        raise ValueError(f"{recipe.data} has the splits train and test, got {split!r}")
    return _open_by_name(recipe, split, kind)


def _open_by_name(recipe: Recipe, split: str, kind: str) -> Any:
    """What timm reads by name: torchvision's data, and those of Hugging Face, from the disk or their hub."""
    name, root = recipe.data, recipe.data_dir or ("data" if kind == "torch" else None)
    if kind == "hfds" and (folder := Path(name.partition("/")[2]).expanduser()).is_dir():
        name = f"hfds/{folder}"
    try:
        return create_dataset(name, root=root, split=split, download=recipe.download)
    except (RuntimeError, AssertionError, OSError, ImportError, ValueError) as error:
        hint = "" if recipe.download or kind != "torch" else "; --download fetches what is known by name"
        where = f" in {root}" if root else ""
        raise ValueError(f"cannot open {name}{where}: {' '.join(str(error).split())}{hint}") from error


def _folder_of_name(recipe: Recipe) -> Path:
    """The folder that `wds/NAME` stands for: NAME, on its own or in `data_dir`, or `data_dir` itself."""
    name = recipe.data.partition("/")[2]
    root = Path(recipe.data_dir or ".").expanduser()
    tried = [root / Path(name).expanduser(), *([root] if recipe.data_dir else [])]
    for folder in tried:
        if folder.is_dir():
            return folder
    raise ValueError(f"there is no folder {tried[0]} with the shards of {recipe.data}")


def _folder(root: Path, split: str) -> Path:
    """The folder or the archive of a split."""
    names = (split, *_SYNONYMS.get(split, ()))
    if not root.is_dir():
        raise ValueError(f"{root} must be a folder with the folders or archives of the splits, and is a file")
    for name in names:
        for path in (root / name, root / f"{name}.tar"):
            if path.exists():
                return path
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
    raise ValueError(f"{root} has no folder {' or '.join(names)}; it has {there}")


def _open_folder(path: Path, recipe: Recipe) -> Any:
    folders = path.is_dir() and any(each.is_dir() for each in path.iterdir())
    if path.is_dir():
        _check_classes(path)
    try:
        with all_endings():
            if path.is_dir() and not folders and any(path.glob("*.tar")):
                return _in_order(ImageDataset(str(path), reader=ReaderImageInTar(str(path))))
            return _in_order(create_dataset("", root=str(path), search_split=False))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"there are no images in the folders of {path}: {error}") from error


def _in_order(source: Any) -> Any:
    """The images of tar files by their whole names: timm has those of equal names as the disk lists them."""
    reader = source.reader
    if isinstance(reader, ReaderImageInTar):
        parts = reader.samples
        names = [(shard or "", child.name if child else "", image.name) for image, shard, child in parts]
        order = sorted(range(len(names)), key=names.__getitem__)
        reader.samples, reader.targets = parts[order], reader.targets[order]
    return source


def _check_classes(path: Path) -> None:
    """Raises ValueError if an image is in no class, or a class has no images."""
    for each in sorted(path.iterdir()):
        if each.is_file() and each.suffix.lower() in ENDINGS:
            raise ValueError(f"the image {each} must be in a folder with the name of its class")
        if each.is_dir() and not any(file.suffix.lower() in ENDINGS for file in each.rglob("*")):
            raise ValueError(f"the class {each} has no images; remove the folder, or fill it")


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
        transform = mend_policy(create_transform(images.shape, is_training=training, **settings))
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
