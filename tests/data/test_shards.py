"""open_shards of WebDataset and data of Hugging Face, both made here and read from the disk."""

import io
import shutil
import tarfile

import datasets
import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from advprop import train
from advprop.data.batches import Batches
from advprop.data.loaded_set import BadImageError
from advprop.data.open import open_data
from advprop.data.shards import find_shards, open_shards
from advprop.models import data_config
from advprop.recipes.recipe import make_recipe
from advprop.runtime.optional import MissingExtraError

SETTINGS = {"model": "test_resnet", "image_size": 32, "workers": 0, "color_jitter": 0.0, "flip": 0.0}


def image(number):
    """A picture whose grey level tells its number."""
    return Image.fromarray(np.full((40, 40, 3), 8 * number, np.uint8))


def png(number):
    file = io.BytesIO()
    image(number).save(file, "png")
    return file.getvalue()


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as shard:
        for sample in samples:
            shard.write(sample)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Three shards of 8 training images, one of 6 test images; image n is of class n % 3."""
    root = tmp_path_factory.mktemp("data") / "things"
    for split, count, size in (("train", 24, 8), ("validation", 6, 6)):
        for start in range(0, count, size):
            write(
                root / f"things-{split}-{start // size:04}.tar",
                [
                    {"__key__": f"sub/{n:05}", "png": png(n), "cls": n % 3, "json": {"n": n}}
                    for n in range(start, start + size)
                ],
            )
    return root


def opened(data, **settings):
    recipe = make_recipe(SETTINGS, data=data, scale=None, **settings)
    return open_data(recipe, recipe, data_config(recipe.model), recipe.seed)


def levels(images):
    return (images.flatten(1).mean(1) * 255 / 8).round().long()


def test_shards_are_read_by_number(shards):
    data = opened(f"wds/{shards}")
    assert (len(data.train), len(data.test), data.class_names) == (24, 6, ("0", "1", "2"))
    images, labels = next(data.train.batches(iter([[23, 0, 9]])))
    assert levels(images).tolist() == [23, 0, 9]
    assert labels.tolist() == [2, 0, 0]
    assert data.train.samples.source.filename(9) == f"{shards}/things-train-0001.tar/sub/00009.png"


def test_webdataset_itself_sees_the_same(shards):
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    ours = open_shards(find_shards(shards, ["train"]))
    number = 0
    for path in sorted(shards.glob("things-train-*.tar")):
        with path.open("rb") as file:
            files = ({"__url__": str(path), **each} for each in tar_file_iterator(file))
            for sample in group_by_keys(files):
                picture, label = ours[number]
                assert (picture.read(), label) == (sample["png"], int(sample["cls"]))
                number += 1
    assert number == len(ours) == 24


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_from_any_step(shards, workers):
    data = opened(f"wds/{shards}", workers=workers)
    batches = Batches(data.train, 6, seed=3)
    whole = [levels(images).tolist() for images, _ in batches.epoch(1)]
    order = [number for batch in whole for number in batch]
    assert sorted(order) == list(range(24)) != order
    assert [levels(images).tolist() for images, _ in batches.epoch(1, 2)] == whole[2:]


def test_splits_are_found_by_folder_word_and_pattern(shards, tmp_path):
    names = [f"things-train-000{n}.tar" for n in range(3)]
    for pattern in ("train", "things-train-*.tar", "things-train-{0000..0002}.tar"):
        assert [path.name for path in find_shards(shards, [pattern])] == names
    (tmp_path / "things" / "train").mkdir(parents=True)
    for name in names:
        shutil.copy(shards / name, tmp_path / "things" / "train")
    shutil.copy(shards / "things-validation-0000.tar", tmp_path / "things" / "val-0.tar")
    for data, more in ((f"wds/{tmp_path}/things", {}), ("wds/things", {"data_dir": str(tmp_path)})):
        found = opened(data, **more)
        assert (len(found.train), len(found.test)) == (24, 6)
    with pytest.raises(ValueError, match=r"1 of 3 shards are missing: .*things-train-0003.tar"):
        find_shards(shards, ["things-train-{0001..0003}.tar"])
    with pytest.raises(ValueError, match=r"has no shards of dev; it has things-train-0000.tar, "):
        find_shards(shards, ["dev"])
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere with the shards of wds/nowhere"):
        opened("wds/nowhere")


def test_a_pattern_with_braces_names_the_missing_package(shards, monkeypatch):
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda name: None)
    assert len(find_shards(shards, ["train"])) == 3  # needs none
    with pytest.raises(MissingExtraError, match=r'webdataset must be installed: .*"advprop\[wds\]"'):
        find_shards(shards, ["things-train-{0000..0002}.tar"])
    with pytest.raises(MissingExtraError, match=r'datasets must be installed: pip install "advprop\[hfds\]"'):
        opened("hfds/anything")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([{"__key__": "a", "png": png(1)}, {"__key__": "b", "png": png(1), "cls": 0}], "a.png has no label"),
        ([{"__key__": "b", "png": png(1), "cls": 0}, {"__key__": "a", "png": png(1)}], "a.png has no label"),
        ([{"__key__": "a", "png": png(1), "cls": b"dog"}], "invalid literal .*'dog'"),
        ([{"__key__": "a", "cls": 0}], "there are no images in the shards"),
    ],
)
def test_a_fault_of_a_shard_is_told_before_training(samples, message, tmp_path):
    write(tmp_path / "train.tar", samples)
    with pytest.raises(ValueError, match=rf"train.tar.*{message}|{message}.*train.tar"):
        open_shards([tmp_path / "train.tar"])


def test_a_truncated_or_packed_shard_is_told(shards, tmp_path):
    whole = (shards / "things-train-0000.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:700])
    with pytest.raises(ValueError, match=r"cannot read the archive .*a.tar"):
        open_shards([tmp_path / "a.tar"])
    with tarfile.open(tmp_path / "b.tar", "w:gz") as archive:
        archive.add(shards / "things-train-0000.tar", arcname="x.png")
    with pytest.raises(ValueError, match=r"cannot read the archive .*b.tar"):
        open_shards([tmp_path / "b.tar"])


def test_labels_are_checked_before_training(shards, tmp_path):
    for name, labels in (("train", (0, 1, 3)), ("val", (0, 4))):
        write(tmp_path / f"{name}.tar", [{"__key__": str(n), "png": png(n), "cls": n} for n in labels])
    with pytest.raises(ValueError, match=r"1 of 4 classes have no training images: 2; .* --classes 4"):
        opened(f"wds/{tmp_path}")
    with pytest.raises(
        ValueError, match=r"labels must be from 0 to 3, .* 1 images is not: .*val.tar/4.png has 4"
    ):
        opened(f"wds/{tmp_path}", classes=4)
    assert len(opened(f"wds/{tmp_path}", classes=5).class_names) == 5


def test_an_image_in_a_shard_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path / "train.tar", [{"__key__": "x", "png": b"no image", "cls": 0}])
    write(tmp_path / "val.tar", [{"__key__": "y", "png": png(1), "cls": 0}])
    with pytest.raises(BadImageError, match=rf"cannot read {tmp_path}/train.tar/x.png: "):
        list(Batches(opened(f"wds/{tmp_path}").train, 1, seed=0).epoch(0))


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A folder of Parquet files, as the hub has them; image n is of class n % 3."""
    root = tmp_path_factory.mktemp("hub") / "things"
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee", "cat"])}
    )
    for split, count in (("train", 24), ("validation", 6)):
        columns = {"image": [image(n) for n in range(count)], "label": [n % 3 for n in range(count)]}
        made = datasets.Dataset.from_dict(columns, features=features)
        (root / "data").mkdir(parents=True, exist_ok=True)
        made.to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    return root


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


def test_a_hugging_face_folder_is_read_by_number(hugging_face, cache):
    data = opened(f"hfds/{hugging_face}", data_dir=cache)
    assert (len(data.train), len(data.test), data.class_names) == (24, 6, ("ant", "bee", "cat"))
    images, labels = next(data.train.batches(iter([[23, 0, 10]])))
    assert levels(images).tolist() == [23, 0, 10]
    assert labels.tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match=r'cannot open hfds/.*Unknown split "dev"'):
        opened(f"hfds/{hugging_face}", data_dir=cache, test_split="dev")


@pytest.mark.parametrize("kind", ["wds", "hfds"])
def test_a_run_on_them_goes_on_as_if_uninterrupted(kind, shards, hugging_face, cache, tmp_path, monkeypatch):
    from advprop.training.loop import Loop

    data = {"wds": f"wds/{shards}", "hfds": f"hfds/{hugging_face}"}[kind]
    recipe = make_recipe(
        SETTINGS, data=data, data_dir=cache if kind == "hfds" else None, batch_size=6, epochs=2,
        method="standard", save_every=1, workers=2,
    )  # fmt: skip
    whole = train(recipe, tmp_path / "whole").run
    advance = Loop.advance

    def killed(loop, images, labels):
        if loop.step == 3:
            raise MemoryError
        advance(loop, images, labels)

    monkeypatch.setattr(Loop, "advance", killed)
    with pytest.raises(MemoryError):
        train(recipe, tmp_path / "run")
    monkeypatch.undo()
    run = train(recipe, tmp_path / "run", resume=True).run
    ours, theirs = run.checkpoints.latest()["model"], whole.checkpoints.latest()["model"]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
