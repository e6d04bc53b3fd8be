"""Weights of another architecture are refused, wherever they come from; only head and channels may differ."""

import threading
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save, save_file
from torch import nn

from advprop import create_model, export_timm, make_recipe, train
from advprop.inference import load_model
from advprop.models import architecture_table, weights_from
from advprop.models.complete import complete_weights
from advprop.models.guess import guess
from advprop.runtime import package_folder
from tests.models.test_models import load_from

FIVE = r"\((\S+, ){4}\S+ and \d+ more\)"


def saved(path: Path, name: str, **settings: Any) -> Path:
    """Weights of a new model, in a file."""
    save_file(timm.create_model(name, **settings).state_dict(), path)
    return path


def start(name: str, weights: Path, **settings: Any) -> nn.Module:
    """A model that starts from the weights in a file."""
    overlay = weights_from(weights, name)
    return create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **settings)


def test_tensors_of_another_model_are_refused_like_a_file_of_them() -> None:
    overlay = {"state_dict": timm.create_model("resnet18").state_dict()}
    with pytest.raises(ValueError, match="the state dict does not have the weights of resnet34: "):
        create_model("resnet34", pretrained=True, pretrained_cfg_overlay=overlay)


@pytest.mark.parametrize("classes", [2, 7])
def test_weights_of_a_smaller_model_of_the_family_are_refused(classes: int, tmp_path: Path) -> None:
    file = saved(tmp_path / "small.pth", "resnet18", num_classes=7)
    with pytest.raises(ValueError, match=r"small.pth does not have the weights of resnet34: ") as told:
        start("resnet34", file, num_classes=classes)
    assert told.match(rf".*: 80 missing {FIVE}; it looks like resnet18 or resnetblur18; ")
    assert told.match(r".* \(layer1.2.conv1.weight, .* and 75 more\)")


@pytest.mark.parametrize("classes", [2, 7])
def test_weights_of_a_larger_model_of_the_family_are_refused(classes: int, tmp_path: Path) -> None:
    file = saved(tmp_path / "large.pth", "resnet34", num_classes=7)
    message = rf": 80 not in the model {FIVE}; it looks like resnet34; "
    with pytest.raises(ValueError, match=message):
        start("resnet18", file, num_classes=classes)


def test_weights_of_other_shapes_and_names_are_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "wide.pth", "wide_resnet50_2", num_classes=7)
    shapes = r": 176 of another shape \(layer1.0.conv1.weight \[128, 64, 1, 1\] instead of \[64, 64, 1, 1\], "
    with pytest.raises(ValueError, match=rf"{shapes}.* more\); it looks like wide_resnet50_2;"):
        start("resnet50", file, num_classes=2)
    message = rf"missing {FIVE}, \d+ not in the model {FIVE}.*; it looks like wide_resnet"
    for name in ("test_vit", "test_convnext", "test_efficientnet"):  # whose names timm would translate
        with pytest.raises(ValueError, match=message):
            start(name, file, num_classes=2)


def test_a_run_does_not_start_from_weights_of_another_model(tmp_path: Path, digit_folders: Path) -> None:
    recipe = make_recipe(
        data=str(digit_folders),
        model="test_resnet",
        image_size=32,
        batch_size=100,
        workers=0,
        device="cpu",
        weights=str(saved(tmp_path / "file.bin", "test_efficientnet")),
    )
    with pytest.raises(ValueError, match=r"file.bin does not have the weights of test_resnet: .* looks like"):
        train(recipe, tmp_path / "run")


def test_one_missing_weight_is_enough(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    del state["layer1.0.bn1.bias"]
    save_file(state, tmp_path / "file.pth")
    message = r"test_resnet: 1 missing \(layer1.0.bn1.bias\); only"
    with pytest.raises(ValueError, match=message):
        start("test_resnet", tmp_path / "file.pth", num_classes=2)


def test_what_a_file_says_of_itself_is_told(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    torch.save({"arch": "my_resnet", "state_dict": state | {"new.weight": torch.ones(1)}}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"not in the model \(new.weight\); it says that it is my_resnet;"):
        start("test_resnet", tmp_path / "a.pth", num_classes=2)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_classes_channels_and_the_head_may_differ(name: str, tmp_path: Path) -> None:
    file = saved(tmp_path / "weights.pth", name, num_classes=7)
    source = timm.create_model(name, num_classes=7)
    source.load_state_dict(weights_from(file, name)["state_dict"])
    for settings in (
        {"num_classes": 2},
        {"num_classes": 0},
        {"in_chans": 1},
        {"in_chans": 4, "num_classes": 2},
    ):
        model = start(name, file, **settings)
        assert model.num_classes == settings.get("num_classes", 7)
    features = start(name, file, features_only=True)
    assert len(features(torch.rand(1, 3, 160, 160))) > 1
    head = timm.create_model(name, num_classes=0).state_dict()
    save_file({key: value for key, value in source.state_dict().items() if key in head}, file)
    for classes in (2, 1000):
        assert start(name, file, num_classes=classes).num_classes == classes


def test_an_exported_folder_with_other_weights_is_refused(tmp_path: Path) -> None:
    export_timm(timm.create_model("resnet34", num_classes=7), tmp_path)
    saved(tmp_path / "model.safetensors", "resnet18", num_classes=7)
    message = rf"cannot load the exported model in .*: 80 missing {FIVE}; it looks like resnet18"
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)
    for classes in (7, 2):
        with pytest.raises(OSError, match=message):
            create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=classes)


def test_a_file_of_ones_own_goes_before_the_folder_that_names_the_model(tmp_path: Path) -> None:
    export_timm(timm.create_model("test_resnet", num_classes=7), tmp_path / "exported")
    model = start(f"local-dir:{tmp_path / 'exported'}", file := saved(tmp_path / "own.pth", "test_resnet"))
    torch.testing.assert_close(
        model.conv1[0].weight, weights_from(file, "test_resnet")["state_dict"]["conv1.0.weight"]
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"<html>", "model.safetensors: it is a web page"),
        ("pytorch_model.bin", b"version https://git-lfs", "pytorch_model.bin: it is a Git LFS pointer"),
        (
            "config.json",
            b'{"model_type": "resnet"}',
            "no architecture of timm's, like those of the transformers",
        ),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_what_is_in_it(
    file: str, content: bytes, message: str, tmp_path: Path
) -> None:
    export_timm(timm.create_model("test_resnet", num_classes=7), tmp_path)
    if file == "pytorch_model.bin":
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot load the exported model in .*{message}"):
        load_model(tmp_path)


def test_weights_of_a_hub_are_checked_with_other_classes(tmp_path: Path) -> None:
    repos = {
        "timm/test_resnet.r160_in1k": {"model.safetensors": save(create_model("resnet18").state_dict())},
        "timm/test_vit.r160_in1k": {"model.safetensors": b"<html>sign in</html>"},
        "timm/test_convnext.r160_in1k": {"model.safetensors": save(create_model("test_resnet").state_dict())},
        "me/transformers": {"config.json": b'{"architectures": ["ResNet"]}', "model.safetensors": b""},
    }
    names = ("test_resnet", "test_vit", "test_convnext", "hf-hub:me/transformers")
    resnet, vit, convnext, other = load_from(repos, tmp_path, *names, num_classes=2)
    assert "it looks like resnet18 or resnetblur18)" in resnet
    assert "it is a web page" in vit
    assert "it looks like test_resnet)" in convnext
    assert "transformers library" in other


def test_weights_that_timm_publishes_may_have_another_head_or_none(tmp_path: Path) -> None:
    resnet = create_model("test_resnet").state_dict() | {"other_head.weight": torch.ones(2)}
    convnext = create_model("convnextv2_atto").state_dict()
    bare = {name: value for name, value in convnext.items() if not name.startswith("head.")}
    vit = create_model("eva02_tiny_patch14_224", num_classes=0).state_dict()
    pooled = {name: value for name, value in vit.items() if not name.startswith("fc_norm.")}
    femto = create_model("convnextv2_femto").state_dict()
    lacking = {
        name: value for name, value in femto.items() if not name.startswith(("head.", "stages.3.blocks.1."))
    }
    repos = {
        f"timm/{name}": {"model.safetensors": save(state)}
        for name, state in {
            "test_resnet.r160_in1k": resnet,
            "convnextv2_atto.fcmae": bare,
            "eva02_tiny_patch14_224.mim_in22k": pooled,
            "convnextv2_femto.fcmae": lacking,
        }.items()
    }
    names = [name.removeprefix("timm/") for name in repos]
    *loaded, told = load_from(repos, tmp_path, *names, num_classes=2)
    assert [text for text in loaded if " " in text] == []
    assert "missing (stages.3.blocks.1.conv_dw.weight" in told


def test_loading_elsewhere_is_not_checked() -> None:
    model, plain = timm.create_model("test_resnet"), nn.Module.load_state_dict
    with complete_weights():
        other = threading.Thread(target=model.load_state_dict, args=({}, False))
        other.start()
        other.join()
        nn.Linear(2, 2).load_state_dict({}, strict=False)
    assert nn.Module.load_state_dict is plain
    model.load_state_dict({}, strict=False)


@pytest.mark.parametrize(
    "name", ["advprop_convnet", "resnet50d", "tf_efficientnet_b0", "vit_tiny_patch16_224"]
)
def test_the_table_of_architectures_knows_them(name: str) -> None:
    with torch.device("meta"):
        state = timm.create_model(name, num_classes=3, in_chans=2).state_dict()
    assert name in guess({key: value.shape for key, value in state.items()})
    assert guess({"nothing.weight": (3, 4)}) == []


@pytest.mark.nightly
@pytest.mark.slow
def test_the_table_has_all_architectures_of_timm() -> None:
    table = package_folder("data_files") / "architectures.txt"
    assert table.read_text(encoding="utf-8") == architecture_table()
