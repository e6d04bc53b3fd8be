"""Data by name: the digits, folders and archives of images, and everything that timm can read.

What can be known of the data before training is checked here: classes that do not match, folders without
images, labels that are none of the classes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from timm.data.dataset_factory import create_dataset

from advprop.data.batches import Data, Images, ImageSet
from advprop.data.class_folders import open_class_folders
from advprop.data.class_map import check_labels, class_names, labels_of_test
from advprop.data.division import Division
from advprop.data.in_memory import (
    changes_of_single_images,
    fits_in_memory,
    fitted_digits,
    in_memory,
    to_tensors,
)
from advprop.data.loaded_set import LoadedSet, Samples
from advprop.data.shards import find_shards, open_shards
from advprop.data.splits import divided, folder_of, is_undivided, names_of, tested
from advprop.data.transforms import testing_transform, training_transform
from advprop.recipes import AugmentSettings, DataSettings
from advprop.runtime import need_extra

# Of these, timm takes every split that it does not know for the test images.
_OF_TWO_SPLITS = ("cifar10", "cifar100", "mnist", "kmnist", "fashion_mnist", "qmnist")
_SPLITS = ("train", "training", "test", "validation", "val", "valid", "eval", "evaluation")


def open_data(
    data: DataSettings,
    augment: AugmentSettings,
    config: Mapping[str, Any],
    seed: int = 0,
    division: Division | None = None,
) -> Data:
    """Opens a data set for training and testing.

    Small sets of images of one size are kept on the device, as bytes, unless each image is to be changed on
    its own; other images are read as needed.

    Args:
        data: Which data. A `Recipe` holds these settings, too.
        augment: How the images are read, and how those for training are changed one by one. A `Recipe` holds
            these settings, too.
        config: The images that the model expects: `advprop.models.data_config(model)`.
        seed: Seed of the random changes, and of which digits are for training.
        division: Which images of a folder without splits are for training and which for testing; by default
            it follows from the seed and the path of each.

    Raises:
        ValueError: If there are no such data, their labels are not right, or a setting cannot act on them.

    Examples:
        >>> from advprop.data import Batches, open_data
        >>> from advprop.models import data_config
        >>> from advprop.recipes import AugmentSettings, DataSettings
        >>> settings = DataSettings(data="digits", channels=3, image_size=32)  # or a folder of class folders
        >>> unchanged = AugmentSettings(scale=None, color_jitter=0)
        >>> data = open_data(settings, unchanged, data_config("resnet18"))
        >>> images, labels = next(Batches(data.train, batch_size=20, seed=0).epoch(0))
        >>> images.shape
        torch.Size([20, 3, 32, 32])
    """
    if data.data == "digits":
        return fitted_digits(data, augment, seed)
    if data.train_split == data.test_split:
        raise ValueError(f"train_split and test_split must differ, got {data.train_split!r} for both")
    if is_undivided(data):
        train, test, division = divided(data, seed, division)
    else:
        train, test, division = _open_split(data, data.train_split), _open_split(data, data.test_split), None
    names = class_names(train, data.classes)
    check_labels(train, names, every_class=data.classes is None)
    labels = labels_of_test(test, names)
    wanted = (data.channels, data.image_size)
    if not changes_of_single_images(augment) and all(fits_in_memory(each, *wanted) for each in (train, test)):
        return in_memory(to_tensors(train, *wanted), to_tensors(test, *wanted, labels), names)
    images = _expected(data, augment, config, names)
    return Data(
        train=LoadedSet(Samples(train, training_transform(augment, images, config), images, data, seed)),
        test=LoadedSet(Samples(test, testing_transform(images), images, data, labels=labels)),
        **vars(images),
        division=division,
    )


def _expected(
    data: DataSettings, augment: AugmentSettings, config: Mapping[str, Any], names: tuple[str, ...]
) -> Images:
    """What images that are read one by one are like for the model."""
    size = data.image_size or config["input_size"][1]
    return Images(
        class_names=names,
        shape=(data.channels or 3, size, size),
        crop_pct=augment.crop_pct or config["crop_pct"],
        crop_mode=config["crop_mode"],
        interpolation=augment.interpolation or config["interpolation"],
        exif_orientation=augment.exif_orientation,
    )


def open_test(
    data: DataSettings,
    images: Images,
    relabel: Callable[[Sequence[str]], tuple[int, ...]] | None = None,
    keep_in_memory: bool = True,
    division: Division | None = None,
) -> ImageSet:
    """Opens the test images alone, as a model expects them.

    Args:
        data: Which data.
        images: What the model expects, and the names of its classes.
        relabel: The model's label of each class of the data, by their names; by default the classes are
            those of `images`, and the log has those that have no test images.
        keep_in_memory: Whether small images of one size may be resized and kept on the device as one array.
        division: Which images of a folder without splits are for testing; by default all.

    Raises:
        ValueError: If there are no such data, or their labels are not right.
    """
    if data.data == "digits":
        raise ValueError(
            "which of the digits are for testing is up to the run; evaluate its directory, without --data"
        )
    if is_undivided(data):
        source: Any = tested(data, division)
    else:
        source = _open_split(data, data.test_split)
    if relabel:
        names = class_names(source, data.classes)
        check_labels(source, names, every_class=False)
        labels = relabel(names)
    else:
        labels = labels_of_test(source, images.class_names)
    channels, height, _ = images.shape
    as_trained = (images.crop_pct, images.interpolation) == (1.0, "bilinear")
    if keep_in_memory and as_trained and fits_in_memory(source, channels, height):
        return to_tensors(source, channels, height, labels)
    return LoadedSet(Samples(source, testing_transform(images), images, data, labels=labels))


def _open_split(data: DataSettings, split: str) -> Any:
    path = Path(data.data).expanduser()
    if path.exists():
        folder = folder_of(path, split)
        every_class = data.classes is None and split == data.train_split
        return open_class_folders(folder, every_class)
    kind, _, name = data.data.partition("/")
    kind = kind.lower()
    if kind == "wds":
        folder = _folder_of_shards(data)
        return open_shards(find_shards(folder, names_of(split)))
    if kind in ("tfds", "hfids"):
        raise ValueError(
            f"{data.data} is a stream, in which no run could go on where it stopped; "
            "save it as a folder, as shards (wds/...) or with Hugging Face (hfds/...)"
        )
    if kind not in ("hfds", "torch"):
        raise ValueError(
            f"there are no data {data.data!r}: no such folder, and no name such as digits, "
            "torch/fashion_mnist, hfds/..., wds/..."
        )
    if kind == "hfds":
        need_extra("hfds")
    elif name.lower() in _OF_TWO_SPLITS and split not in _SPLITS:
        raise ValueError(f"{data.data} has the splits train and test, got {split!r}")
    return _open_by_name(data, split, kind)


def _open_by_name(data: DataSettings, split: str, kind: str) -> Any:
    """What timm reads by name: torchvision's data, and those of Hugging Face, from the disk or their hub."""
    name, root = data.data, data.data_dir or ("data" if kind == "torch" else None)
    if kind == "hfds" and (folder := Path(name.partition("/")[2]).expanduser()).is_dir():
        name = f"hfds/{folder}"
    try:
        return create_dataset(name, root=root, split=split, download=data.download)
    except (RuntimeError, AssertionError, OSError, ImportError, ValueError) as error:
        hint = "" if data.download or kind != "torch" else "; --download fetches what is known by name"
        where = f" in {root}" if root else ""
        raise ValueError(f"cannot open {name}{where}: {' '.join(str(error).split())}{hint}") from error


def _folder_of_shards(data: DataSettings) -> Path:
    """The folder that `wds/NAME` stands for: NAME, on its own or in `data_dir`, or `data_dir` itself."""
    root = Path(data.data_dir or ".").expanduser()
    named = root / Path(data.data.partition("/")[2]).expanduser()
    if named.is_dir():
        return named
    if data.data_dir and root.is_dir():
        return root
    raise ValueError(f"there is no folder {named} with the shards of {data.data}")
