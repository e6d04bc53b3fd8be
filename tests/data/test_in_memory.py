import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advprop.data import in_memory
from advprop.data.batches import Batches, TensorSet, digits
from advprop.data.class_map import check_labels, labels_of, labels_of_test
from advprop.data.in_memory import to_tensors
from advprop.data.loaded_set import LoadedSet
from advprop.data.open import open_data
from advprop.models import data_config
from advprop.recipes.recipe import make_recipe


def opened(data, folder=None, **settings):
    recipe = make_recipe(data=data, data_dir=str(folder), workers=0, model="test_resnet", **settings)
    return open_data(recipe, recipe, data_config("test_resnet"))


def open_digits(recipe):
    return open_data(recipe, recipe, data_config("advprop_convnet"), recipe.seed)


def _idx(path, array):
    """Writes an array as MNIST's files have it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def fashion(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    chance = np.random.default_rng(0)
    for name, count in (("train", 30), ("t10k", 20)):
        _idx(raw / f"{name}-images-idx3-ubyte", chance.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        _idx(raw / f"{name}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


@pytest.mark.parametrize(("channels", "size"), [(None, None), (3, None), (1, 32)])
def test_fashion_mnist_is_kept_on_the_device(fashion, channels, size):
    data = opened("torch/fashion_mnist", fashion, channels=channels, image_size=size)
    assert isinstance(data.train, TensorSet)
    assert data.train.images.dtype == torch.uint8
    assert (len(data.train), len(data.test)) == (30, 20)
    assert data.shape == (channels or 1, size or 28, size or 28)
    assert data.class_names[9] == "Ankle boot"
    images, labels = next(data.test.batches(iter([[0, 3]])))
    assert images.shape == (2, *data.shape)
    assert labels.tolist() == [0, 3]
    if size is None:
        raw = (fashion / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
        expected = np.frombuffer(raw, np.uint8)[: 28 * 28].reshape(28, 28) / 255
        np.testing.assert_allclose(images[0, 0], expected, rtol=1e-6)


def test_color_becomes_gray():
    pixels = np.zeros((2, 4, 4, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    source = SimpleNamespace(data=pixels, targets=[0, 1])
    gray = to_tensors(source, 1, None)
    assert set(gray.images.flatten().tolist()) == {(200 * 299 + 100 * 587 + 50 * 114) // 1000}
    with pytest.raises(ValueError, match="from 0 to 0, and that of 1 images is not: image 1 has 1"):
        check_labels(source, ("only",), every_class=False)


def test_classes_are_known_by_name_whatever_the_spelling_of_an_accent():
    source = SimpleNamespace(class_to_idx={"bar": 0, "cafe\u0301": 1}, targets=[0, 1])
    assert labels_of_test(source, ["ant", "bar", "caf\u00e9"]) == (1, 2)


def test_labels_of_several_numbers_are_the_first():
    assert labels_of(SimpleNamespace(targets=torch.tensor([[3, 70], [1, 80]]))).tolist() == [3, 1]


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_augment": "v0"},
        {"scale": (0.5, 1.0)},
        {"color_jitter": 0.4},
        {"crop_pct": 0.9},
        {"interpolation": "bicubic"},
    ],
    ids=str,
)
def test_what_changes_a_single_image_has_images_read_one_by_one(settings, fashion):
    data = opened("torch/fashion_mnist", fashion, image_size=32, channels=3, **settings)
    assert isinstance(data.train, LoadedSet)
    images, labels = next(Batches(data.train, 10, seed=0).epoch(0))
    assert images.shape == (10, 3, 32, 32)
    assert data.class_names[int(labels[0])] in ("T-shirt/top", *data.class_names)
    with pytest.raises(ValueError, match="there is no auto_augment 'nonsense'"):
        opened("torch/fashion_mnist", fashion, auto_augment="nonsense")


def test_sets_that_grow_too_large_are_read_one_by_one(fashion, monkeypatch):
    monkeypatch.setattr(in_memory, "_LARGEST", 30 * 28 * 28)
    assert isinstance(opened("torch/fashion_mnist", fashion).train, TensorSet)
    for settings in ({"image_size": 29}, {"channels": 3}):
        assert isinstance(opened("torch/fashion_mnist", fashion, **settings).train, LoadedSet)


def test_digits_have_the_channels_and_the_size_that_are_asked_for():
    plain = open_digits(make_recipe())
    assert torch.equal(plain.train.images, digits(200, 0).train.images)
    data = open_digits(make_recipe(image_size=32, channels=3))
    assert data.shape == (3, 32, 32)
    assert data.train.images.shape[1:] == data.test.images.shape[1:] == (3, 32, 32)
    torch.testing.assert_close(
        data.train.images.mean((1, 2, 3)), plain.train.images.mean((1, 2, 3)), atol=0.02, rtol=0
    )


@pytest.mark.parametrize(
    ("setting", "value"), [("auto_augment", "v0"), ("scale", (0.1, 1.0)), ("classes", 3), ("crop_pct", 0.5)]
)
def test_settings_that_cannot_act_on_the_digits_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"the digits have 10 classes.*they cannot have {setting}: "):
        open_digits(make_recipe({setting: value}))
