import logging
import random
import shutil
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import AugmentOp
from timm.data.readers.img_extensions import get_img_extensions

from advprop.data import open_data
from advprop.data.batches import Batches
from advprop.data.loaded_set import BadImageError, LoadedSet
from advprop.data.transforms import mend_policy
from advprop.models import data_config
from advprop.recipes import AugmentSettings, DataSettings
from advprop.recipes.recipe import make_recipe

NAMES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of noise on a level that tells the class: 6 a class for training, 2 for testing."""
    root = tmp_path_factory.mktemp("data") / "flowers and more"
    chance = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(NAMES):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = chance.integers(80 * label, 80 * label + 60, (40 + number, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def opened(data, model="test_resnet", **settings):
    recipe = make_recipe(
        {"workers": 0, "image_size": 32, "model": model, "color_jitter": 0.0}, data=str(data), **settings
    )
    return open_data(recipe, recipe, data_config(model), recipe.seed)


def epoch(images, number=0, **settings):
    return list(Batches(images, 6, **settings).epoch(number))


def test_a_folder_of_class_folders_is_read(folder):
    data = opened(folder)
    assert (len(data.train), len(data.test), data.class_names) == (18, 6, NAMES)
    assert data.shape == (3, 32, 32)
    for images, labels in (*epoch(data.train, seed=0), *epoch(data.test)):
        assert images.shape == (6, 3, 32, 32)
        assert images.dtype == torch.float
        levels = images.flatten(1).mean(1) * 255
        assert torch.equal((levels / 80).floor().long(), labels)
    assert [labels.tolist() for _, labels in epoch(data.test)] == [[0, 0, 1, 1, 2, 2]]


def test_data_are_opened_without_a_recipe(folder):
    settings = DataSettings(data=str(folder), image_size=32, workers=0)
    augment = AugmentSettings(color_jitter=0.0, auto_augment="rand-m9-mstd0.5")
    data = open_data(settings, augment, data_config("test_resnet"), seed=3)
    same = opened(folder, auto_augment="rand-m9-mstd0.5", seed=3)
    for ours, theirs in ((data.train, same.train), (data.test, same.test)):
        pairs = zip(epoch(ours, 1, seed=0), epoch(theirs, 1, seed=0), strict=True)
        assert all(torch.equal(one, other) for pair in pairs for one, other in zip(*pair, strict=True))
    assert (data.images, data.class_names) == (same.images, NAMES)


def test_grey_and_size_are_as_wanted(folder):
    data = opened(folder, channels=1, image_size=None)
    images, _ = epoch(data.train, seed=0)[0]
    assert images.shape == (6, 1, 160, 160)  # what the model wants


def test_an_archive_is_read_as_the_folder(folder, tmp_path):
    for split in ("train", "val"):
        with tarfile.open(tmp_path / f"{split}.tar", "w") as archive:
            archive.add(folder / split, arcname=".")
    archive, folders = opened(tmp_path).test, opened(folder).test
    (images, labels), (from_folder, _) = epoch(archive)[0], epoch(folders)[0]
    torch.testing.assert_close(images.sort(0).values, from_folder.sort(0).values)
    assert labels.sort().values.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_tar_of_tars_and_a_folder_of_tars_are_read_as_the_folder(folder, tmp_path):
    """ImageNet comes as a tar with a tar for each class; here names repeat from class to class."""
    for split in ("train", "val"):
        (tmp_path / "folders" / split).mkdir(parents=True)
        (tmp_path / "nested").mkdir(exist_ok=True)
        for name in reversed(NAMES):
            with tarfile.open(tmp_path / "folders" / split / f"{name}.tar", "w") as archive:
                for image in sorted((folder / split / name).iterdir(), reverse=True):
                    archive.add(image, arcname=image.name)
        with tarfile.open(tmp_path / "nested" / f"{split}.tar", "w") as archive:
            archive.add(tmp_path / "folders" / split, arcname=".")
    (expected, labels), *_ = epoch(opened(folder).test)
    for kind in ("folders", "nested"):
        data = opened(tmp_path / kind, workers=2)
        assert (len(data.train), data.class_names) == (18, NAMES)
        (images, found), *_ = epoch(data.test)
        assert torch.equal(found, labels)
        torch.testing.assert_close(images, expected)


def test_random_changes_follow_from_seed_epoch_and_image_alone(folder):
    def images(start=0, number=0, workers=0, seed=0, **more):
        data = opened(folder, auto_augment="rand-m9-mstd0.5", workers=workers, seed=seed)
        return torch.cat([x for x, _ in Batches(data.train, 6, seed=3, **more).epoch(number, start)])

    whole = images()
    assert torch.equal(images(), whole)
    assert torch.equal(images(workers=2), whole)
    assert torch.equal(images(start=1), whole[6:])
    halves = [images(rank=rank, ranks=2) for rank in range(2)]
    assert torch.equal(torch.cat([half[:3] for half in halves]), whole[:6])
    assert not torch.equal(images(seed=1), whole)
    data = opened(folder)
    first, second = (
        dict(zip(*_by_label(epoch(data.train, number, seed=3)), strict=True)) for number in (0, 1)
    )
    assert first.keys() != second.keys()


def _by_label(batches):
    return [float(x) for images, _ in batches for x in images.sum((1, 2, 3))], range(18)


def test_no_random_crop_takes_the_middle(folder):
    data = opened(folder, scale=None, flip=0.0)
    first, second = (torch.cat([x for x, _ in epoch(data.train, number, seed=number)]) for number in (0, 1))
    assert {float(x.sum()) for x in first} == {float(x.sum()) for x in second}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named(folder, tmp_path, workers, caplog):
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    broken = root / "train" / "bee" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(BadImageError, match=rf"cannot read {broken}: .*; mend it, or go on without"):
        epoch(opened(root, workers=workers).train, seed=0)
    data = opened(root, workers=workers, bad_images="skip")
    with caplog.at_level(logging.WARNING):
        labels = torch.cat([labels for _, labels in epoch(data.train, seed=0)])
    assert len(labels) == 18
    assert f"skipped {broken}" in caplog.text
    assert len(data.train.skipped) == 1


def test_an_image_that_cannot_be_read_is_not_tested_on(folder, tmp_path, caplog):
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    (root / "val" / "bee" / "0.png").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"cannot read .*bee.0\.png"):
        epoch(opened(root).test)
    data = opened(root, bad_images="skip")
    with caplog.at_level(logging.WARNING):
        assert [labels.tolist() for _, labels in epoch(data.test)] == [[0, 0, 1, 2, 2]]
        assert [labels.tolist() for _, labels in Batches(data.test, 1)] == [[0], [0], [1], [2], [2]]
    assert caplog.text.count("skipped") == 1


def test_an_image_that_cannot_be_changed_is_named(folder, monkeypatch):
    data = opened(folder)

    def fail(image):
        raise ValueError("no such change")

    object.__setattr__(data.train.samples, "transform", fail)
    with pytest.raises(BadImageError, match=r"cannot read .*png: no such change"):
        epoch(data.train, seed=0)


def test_pictures_of_every_ending_are_read(folder, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    for number, ending in enumerate((".webp", ".bmp", ".tiff", ".gif", ".JPG")):
        file = root / "train" / "ant" / f"{number}.png"
        Image.open(file).convert("RGB").save(file.with_suffix(ending))
        file.unlink()
    before = get_img_extensions()
    data = opened(root)
    assert len(data.train) == 18
    assert len(torch.cat([labels for _, labels in epoch(data.train, seed=0)])) == 18
    assert get_img_extensions() == before


@pytest.mark.parametrize("policy", ["v0", "original", "rand-m2-n2", "rand-m9-mstd0.5-inc1", "augmix-m3-w3"])
def test_no_policy_fails_at_any_of_its_draws(folder, policy):
    data = opened(folder, auto_augment=policy)
    transform, image = data.train.samples.transform, Image.new("RGB", (40, 40), (200, 100, 30))
    torch.manual_seed(0)
    random.seed(0)
    changed = [torch.as_tensor(np.asarray(transform(image))) for _ in range(500)]
    assert len({tuple(each.flatten().tolist()) for each in changed}) > 5


def test_no_bit_leaves_a_black_picture():
    posterise = AugmentOp("Posterize", prob=1, magnitude=0)
    mend_policy(SimpleNamespace(transforms=[SimpleNamespace(ops=[posterise])]))
    assert posterise(Image.new("RGB", (4, 4), (200, 100, 30))).getextrema() == ((0, 0),) * 3
    posterise.magnitude = 5  # 2 bits
    assert posterise(Image.new("L", (4, 4), 200)).getextrema() == (192, 192)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "train" / "empty").mkdir(), r"class .*train.empty has no images"),
        (
            lambda root: (root / "val" / "cat").rename(root / "val" / "dog"),
            r"among those of the training \(ant, bee, cat\), got 1 that are not: dog; rename",
        ),
        (
            lambda root: (root / "val").rename(root / "other"),
            r"no folder validation or val or .*; it has other, train",
        ),
        (
            lambda root: (root / "train").rename(root / "other"),
            r"no folder train or training; it has other, val",
        ),
    ],
)
def test_a_fault_of_the_folders_is_found_before_training(folder, tmp_path, change, message):
    root = tmp_path / "data"
    shutil.copytree(folder, root)
    change(root)
    with pytest.raises(ValueError, match=message):
        opened(root)


def test_a_folder_without_images_is_told(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    with pytest.raises(
        ValueError,
        match="must have a folder with images for each class, and there are no images in its folders",
    ):
        opened(tmp_path)


def test_wrong_data_are_told(tmp_path):
    with pytest.raises(
        ValueError, match="there are no data 'nowhere/else': no such folder, and no name such as"
    ):
        opened("nowhere/else")
    with pytest.raises(
        ValueError, match=r"cannot open torch/fashion_mnist in .*not found.*--download fetches"
    ):
        opened("torch/fashion_mnist", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match="cannot open torch/nothing"):
        opened("torch/nothing", data_dir=str(tmp_path))


def test_a_file_is_no_folder(folder):
    with pytest.raises(ValueError, match="must be a folder with the folders or archives of the splits"):
        opened(folder / "train" / "ant" / "1.png")


def test_splits_that_no_run_can_want_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="train_split and test_split must differ, got 'val' for both"):
        opened(folder, train_split="val", test_split="val")
    with pytest.raises(ValueError, match="torch/cifar10 has the splits train and test, got 'trian'"):
        opened("torch/cifar10", data_dir=str(tmp_path), train_split="trian")
    with pytest.raises(ValueError, match=r"tfds/mnist is a stream, .*; save it as a folder"):
        opened("tfds/mnist")


def test_an_unknown_policy_is_told(folder):
    with pytest.raises(ValueError, match="there is no auto_augment 'nonsense'"):
        opened(folder, auto_augment="nonsense")


def test_the_number_of_classes_is_checked(folder):
    assert opened(folder, classes=4).class_names == (*NAMES, "3")
    with pytest.raises(
        ValueError, match="the data have 3 classes, and the model is to have --classes 2; give 3"
    ):
        opened(folder, classes=2)


def test_loaded_sets_move(folder):
    train = opened(folder).train
    assert isinstance(train.to("cpu"), LoadedSet)
    assert len(train.to("cpu")) == len(train) == 18
