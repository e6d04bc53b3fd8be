import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from timm.data.imagenet_info import ImageNetInfo
from torchvision.datasets import FashionMNIST

from advprop.cli.main import main
from advprop.data import Images, open as sources
from advprop.data.loaded_set import LoadedSet
from advprop.evaluation.evaluator import evaluate
from advprop.inference.export import export_timm
from advprop.inference.load import load_run
from advprop.inference.target import labels_for, model_and_images
from advprop.recipes import DataSettings


def model_of(count, names=None):
    config = {"num_classes": count} | ({"label_names": names} if names else {})
    return SimpleNamespace(num_classes=count, pretrained_cfg=config)


@pytest.fixture(scope="module")
def exported(folder_run, tmp_path_factory):
    return export_timm(load_run(folder_run.run.directory), tmp_path_factory.mktemp("models") / "digits")


def measured(source, data, branch="main"):
    with model_and_images(source, DataSettings(data=str(data), workers=0), branch, "cpu") as (model, batches):
        return evaluate(model, batches)


def test_a_run_and_its_export_measure_the_same(exported, folder_run, digit_folders):
    run = folder_run.run.directory
    found = measured(exported, digit_folders)
    assert found == measured(run, digit_folders)
    assert found == replace(folder_run.clean, loss=found.loss)
    assert found.loss == pytest.approx(folder_run.clean.loss)  # summed up in other batches
    assert measured(run, digit_folders, "adv") != folder_run.clean


def test_labels_are_those_of_the_model_by_their_names(exported, folder_run, digit_folders, tmp_path):
    for name in ("zero", "two", "three"):  # 4, 3 and 2 of the model, 2, 1 and 0 of these data
        shutil.copytree(digit_folders / "validation" / name, tmp_path / "validation" / name)
    some = measured(exported, tmp_path)
    assert 300 < some.n < folder_run.clean.n
    assert some.top1 > 0.6
    (tmp_path / "validation" / "three").rename(tmp_path / "validation" / "drei")
    with pytest.raises(
        ValueError, match=r"does not know 1 of the 3 classes of the data \(drei\); it knows four"
    ):
        measured(exported, tmp_path)


@pytest.mark.parametrize(
    ("model", "names", "expected"),
    [
        (model_of(3, ("ant", "bee", "cat")), ("cat", "ant"), (2, 0)),
        (model_of(3, ("ant", "bee", "cat")), ("0", "1", "2"), (0, 1, 2)),
        (model_of(3), ("ant", "bee", "cat"), (0, 1, 2)),
        (model_of(12, tuple(map(str, range(12)))), ("1", "10", "11"), (1, 10, 11)),
        (model_of(12, tuple(map(str, range(12)))), ("0", "1"), (0, 1)),
        (model_of(1000), ("n01440764", "n01443537"), (0, 1)),
        (model_of(1000), tuple(ImageNetInfo().label_names()), tuple(range(1000))),
    ],
)
def test_classes_are_found_by_name_or_order(model, names, expected):
    assert labels_for(model, names) == expected


def test_an_accent_in_two_parts_is_the_same_name():
    assert labels_for(model_of(2, ("bar", "cafe\u0301")), ("caf\u00e9", "bar")) == (1, 0)


@pytest.mark.parametrize("model", [model_of(3), model_of(3, ("ant", "bee", "cat"))])
def test_data_without_names_must_have_as_many_classes(model):
    with pytest.raises(ValueError, match="the data have 2 classes, and the model has 3"):
        labels_for(model, ("0", "1"))


def test_images_that_fit_on_the_device_have_the_size_of_the_model(monkeypatch):
    source = SimpleNamespace(
        data=torch.randint(256, (6, 28, 28), dtype=torch.uint8),
        targets=torch.tensor([0, 1, 2, 3, 4, 9]),
        class_to_idx={name: label for label, name in enumerate(FashionMNIST.classes)},
    )
    monkeypatch.setattr(sources, "_open_split", lambda data, split: source)
    wanted = DataSettings(data="torch/fashion_mnist")
    expected = Images(class_names=tuple(FashionMNIST.classes), shape=(3, 64, 64), crop_pct=0.95)
    assert isinstance(sources.open_test(wanted, expected), LoadedSet)  # the model wants a crop
    images = sources.open_test(wanted, replace(expected, crop_pct=1.0))
    assert images.images.shape == (6, 3, 64, 64)
    assert images.labels.tolist() == [0, 1, 2, 3, 4, 9]
    swapped = sources.open_test(wanted, expected, lambda names: tuple(reversed(range(len(names)))))
    assert swapped.samples.labels == tuple(reversed(range(10)))
    with pytest.raises(ValueError, match="of the training"):
        sources.open_test(wanted, replace(expected, class_names=("ant",)))


def test_evaluate_takes_other_models_with_data(exported, folder_run, digit_folders, tmp_path, capsys):
    words = ["evaluate", str(exported), "--severities", "--workers", "0"]
    assert main([*words, "--data", str(digit_folders)]) == 0
    told, _, *_ = capsys.readouterr().out.splitlines()
    assert told == f"clean: {folder_run.clean}"  # in percent, without the loss
    shutil.copytree(digit_folders, tmp_path / "data")
    (tmp_path / "data" / "validation" / "one" / "41.png").write_bytes(b"no picture")
    words_of_a_bad_image = [*words, "--data", str(tmp_path / "data")]
    assert main(words_of_a_bad_image) == 1
    assert "41.png" in capsys.readouterr().err
    assert main([*words_of_a_bad_image, "--bad-images", "skip"]) == 0
    assert f"n = {folder_run.clean.n - 1})" in capsys.readouterr().out
    for more, message in (
        ([], "is not the directory of a run; with --data it may be another model"),
        (["--data", "digits"], "which of the digits are for testing is up to the run"),
        (
            ["--data", str(digit_folders), "--test-split", "nowhere"],
            "has no folder nowhere; it has train, valid",
        ),
        (
            ["--data", str(digit_folders), "--branch", "adv"],
            "is not the directory of a run, and has no branch",
        ),
    ):
        assert main([*words, *more]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert message in shown.err
