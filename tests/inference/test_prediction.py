import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from advprop.attacks.pixel_model import PixelModel
from advprop.inference.load import load_run
from advprop.inference.prediction import (
    Guess,
    Prediction,
    find_images,
    predict,
    prediction_table,
)
from advprop.models import create_model, create_transform, names_of_classes
from advprop.norms.wrap import add_aux_norm


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Five pictures of noise, in colour and grey, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for number, shape in enumerate(((40, 50, 3), (90, 30, 3), (64, 64), (200, 210, 3), (33, 31, 4))):
        Image.fromarray(chance.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"nothing")
    return folder


def readable(folder):
    return [folder / f"{number}.png" for number in range(5)]


def test_pictures_are_what_their_folders_say(folder_run, digit_folders):
    model = load_run(folder_run.run.directory)
    files = find_images([digit_folders / "validation"])
    found = predict(model, files, top=1)
    assert [each.image for each in found] == [str(file) for file in files]
    right = sum(each.best.name == file.parent.name for each, file in zip(found, files, strict=True))
    assert (right, len(files)) == (round(folder_run.clean.top1 * folder_run.clean.n), folder_run.clean.n)


def test_a_prediction_is_that_of_the_model_alone(pictures):
    model = create_model("test_resnet", num_classes=7).eval()
    transform = create_transform(model)
    found = predict(model, readable(pictures), top=3, batch_size=2)
    for path, each in zip(readable(pictures), found, strict=True):
        with torch.no_grad(), Image.open(path) as image:
            shares = model(transform(image.convert("RGB"))[None]).softmax(1)[0]
        best = shares.topk(3)
        assert [guess.label for guess in each.guesses] == best.indices.tolist()
        assert [guess.probability for guess in each.guesses] == pytest.approx(best.values.tolist(), rel=1e-5)
        assert [guess.name for guess in each.guesses] == [str(label) for label in best.indices.tolist()]


def test_paths_images_batches_and_processes_make_no_difference(pictures):
    model = create_model("test_resnet", num_classes=7)
    files = readable(pictures)
    expected = [each.guesses for each in predict(model, files, batch_size=1)]

    def same(found):
        for one, other in zip(found, expected, strict=True):
            assert [guess.label for guess in one.guesses] == [guess.label for guess in other]
            torch.testing.assert_close([g.probability for g in one.guesses], [g.probability for g in other])

    images = [Image.open(file) for file in files]
    same(found := predict(model, images, batch_size=4))
    assert [each.image for each in found] == [f"image {number}" for number in range(5)]
    for image in images:
        image.close()
    same(predict(model, iter(map(str, files)), workers=1))
    same([each for file in files for each in predict(model, str(file))])


def test_a_grey_model_reads_grey(pictures):
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.pretrained_cfg = {"input_size": (1, 12, 14), "mean": (0.5,), "std": (0.25,), "crop_pct": 1.0}

        def forward(self, images):
            seen.append(images)
            return torch.zeros(len(images), 3)

    predict(Spy(), Image.new("RGB", (28, 24), (255, 0, 0)))
    level = (76 / 255 - 0.5) / 0.25  # 76 is the grey of full red
    torch.testing.assert_close(seen[0], torch.full((1, 1, 12, 14), level))


def test_a_model_is_left_as_it_was(pictures):
    model = create_model("test_resnet", num_classes=7).train()
    model.bn1.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, again = (predict(model, readable(pictures)) for _ in range(2))
    assert first == again
    assert model.training
    assert not model.bn1.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_in_half_precision_and_one_with_branches_answer(pictures):
    model = create_model("test_resnet", num_classes=7).bfloat16()
    assert len(predict(model, readable(pictures))[0].guesses) == 5
    assert len(predict(add_aux_norm(model), readable(pictures))) == 5


def test_an_unreadable_picture_stops_or_is_named(pictures):
    model = create_model("test_resnet", num_classes=7)
    files = [*readable(pictures)[:2], pictures / "5.png", pictures / "6.png"]
    with pytest.raises(OSError, match=r"cannot read .*5\.png: its content is no image"):
        predict(model, files)
    found = predict(model, files, bad_images="skip", batch_size=2)
    assert [bool(each.guesses) for each in found] == [True, True, False, False]
    assert [bool(each.problem) for each in found] == [False, False, True, True]
    assert "No such file" in found[3].problem
    with pytest.raises(ValueError, match=r"there is no prediction of .*5\.png: its content is no image"):
        _ = found[2].best
    assert predict(model, []) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top": 0}, "top must be 1 or more, got 0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"class_names": ["a", "b"]}, r"class_names must be 7 names, one for each class, got \['a', 'b'\]"),
        ({"class_names": "abcdefg"}, "class_names must be 7 names"),
    ],
)
def test_wrong_settings_are_refused(settings, message, pictures):
    with pytest.raises(ValueError, match=message):
        predict(create_model("test_resnet", num_classes=7), readable(pictures), **settings)


def test_a_model_that_does_not_say_what_it_wants_is_refused():
    with pytest.raises(ValueError, match="one of timm's, with a pretrained_cfg, got Linear"):
        predict(nn.Linear(2, 2), Image.new("RGB", (9, 9)))


def test_what_training_put_around_a_model_does_not_matter(pictures):
    model = create_model("test_resnet", num_classes=7)

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = model

        def forward(self, images):
            return self.module(images)

    expected = predict(model, readable(pictures))
    assert predict(Around(), readable(pictures)) == expected
    assert predict(PixelModel(model, 0.5, 0.5), readable(pictures)) == expected  # it is given no pixels


def test_a_model_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, and takes 4"):
        predict(create_model("test_resnet", in_chans=4), Image.new("RGB", (9, 9)))


def model_of(count, **config):
    return SimpleNamespace(num_classes=count, pretrained_cfg={"num_classes": count, **config})


@pytest.mark.parametrize(
    ("model", "label", "name"),
    [
        (model_of(2, label_names=("cat", "dog")), 1, "dog"),
        (model_of(2, label_names={"0": "cat", "1": "dog"}), 1, "dog"),
        (model_of(2, label_names=("c", "d"), label_descriptions={"c": "cat", "d": "dog"}), 0, "cat"),
        (model_of(3, label_names=("cat", "dog")), 1, "1"),  # names of another head
        (model_of(2, label_names=("n02123045", "n02099601")), 1, "golden retriever"),
        (model_of(2, label_names=("n02123045", "n99999999")), 1, "n99999999"),
        (model_of(2), 1, "1"),
        (create_model("test_resnet"), 207, "golden retriever"),
        (create_model("test_resnet", num_classes=300), 207, "207"),
    ],
)
def test_classes_have_the_names_that_are_known(model, label, name):
    assert names_of_classes(model)(label) == name


def test_folders_are_walked_in_order(pictures, tmp_path):
    for place in ("b/c", "a"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / place / "x.PNG")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    files = find_images([pictures / "0.png", tmp_path])
    assert [str(file.relative_to(file.parents[1])) for file in files[1:]] == ["a/x.PNG", "c/x.PNG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the folder .*empty holds no images \(.*\.png"):
        find_images([tmp_path / "empty"])
    with pytest.raises(ValueError, match="there is no image and no folder nowhere"):
        find_images(["nowhere"])


def test_the_table_has_pictures_once_and_no_unread_ones():
    cat, dog = Guess(0, "cat", 0.25), Guess(1, "dog", 0.75)
    found = [
        Prediction(image="a.png", guesses=(dog, cat)),
        Prediction(image="bad.png", problem="no picture"),
        Prediction(image="longer.png", guesses=(cat,)),
    ]
    assert prediction_table(found).splitlines() == [
        "image       class  probability, %",
        "a.png       dog              75.0",
        "            cat              25.0",
        "longer.png  cat              25.0",
    ]
    assert prediction_table(found[1:2]) == ""
    assert json.loads(json.dumps([each.to_dict() for each in found])) == [
        {
            "image": "a.png",
            "guesses": [
                {"label": 1, "name": "dog", "probability": 0.75},
                {"label": 0, "name": "cat", "probability": 0.25},
            ],
        },
        {"image": "bad.png", "problem": "no picture"},
        {"image": "longer.png", "guesses": [{"label": 0, "name": "cat", "probability": 0.25}]},
    ]
