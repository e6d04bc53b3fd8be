import io
import json
import os
import re
import subprocess
import sys
import warnings

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save
from timm.models import get_deprecated_models
from timm.optim import create_optimizer_v2

from advprop.models import (
    create_model,
    create_transform,
    current_name,
    data_config,
    list_models,
    weights_from,
)
from tests.hub import Truncated, fingerprint, serve_hub

NINE = [f"tf_efficientnet_b{size}_ap" for size in range(9)]


@pytest.mark.parametrize("name", NINE)
def test_old_names_are_the_current_ones(name):
    assert current_name(name) == name.removesuffix("_ap") + ".ap_in1k"
    assert current_name(current_name(name)) == current_name(name)


def test_every_renamed_model_is_found_or_its_removal_told():
    for old, new in get_deprecated_models().items():
        if new:
            assert current_name(old) == new
        else:
            with pytest.raises(ValueError, match="no longer has the model"):
                current_name(old)


def test_an_old_name_builds_the_current_model_without_a_warning():
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("error")
        model = create_model("tf_efficientnet_b0_ap", num_classes=7)
    assert model.num_classes == 7
    assert model.pretrained_cfg["hf_hub_id"] == "timm/tf_efficientnet_b0.ap_in1k"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf_eficientnet_b0_ap", "did you mean tf_efficientnet_b0_ap"),
        ("resnet18.fo", "of this architecture there are resnet18.a1_in1k"),
        ("qqqqqqqq", "no model 'qqqqqqqq'; advprop.list_models"),
        ("timm/resnet18", "Use 'hf-hub:timm/resnet18'"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(name, message):
    with pytest.raises(ValueError, match=message):
        create_model(name)


def test_a_model_without_weights_says_which_have_some():
    with pytest.raises(ValueError, match="advprop_convnet has no pretrained weights"):
        create_model("advprop_convnet", pretrained=True)


def test_list_models_has_timms_and_our_own():
    assert list_models("tf_efficientnet_b?.ap*") == [current_name(name) for name in NINE]
    assert list_models("tf_efficientnet_b?_ap", pretrained=True) == [current_name(name) for name in NINE]
    assert "advprop_convnet" in list_models()
    assert "advprop_convnet" not in list_models(pretrained=True)


def test_list_models_takes_what_timms_does():
    assert list_models(None) == list_models([]) == list_models("") == list_models()
    both = list_models(["tf_efficientnet_b0_ap", "resnet18.a?_in1k"])
    assert both == ["resnet18.a1_in1k", "resnet18.a2_in1k", "resnet18.a3_in1k", "tf_efficientnet_b0.ap_in1k"]
    for without in ("tf_efficientnet_b[1-8]*", ["tf_efficientnet_b[1-4]_ap", "tf_efficientnet_b[5-8].*"]):
        assert list_models("tf_efficientnet_b?_ap", exclude_filters=without) == ["tf_efficientnet_b0.ap_in1k"]


def test_weights_may_come_with_a_configuration_of_ones_own():
    source = create_model("advprop_convnet")
    state = source.state_dict()
    config = source.pretrained_cfg | {"state_dict": state}
    model = create_model("advprop_convnet", pretrained=True, pretrained_cfg=config)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="has no pretrained weights"):
        create_model("advprop_convnet", pretrained=True, pretrained_cfg={})


@pytest.mark.parametrize("name", NINE)
def test_fault_of_wrong_preprocessing_the_transform_is_that_of_the_card(name):
    config = data_config(name)
    assert config["mean"] == config["std"] == (0.5, 0.5, 0.5)
    pixels = create_transform(name)(Image.new("RGB", (800, 700), (255, 0, 255)))
    assert pixels.shape == config["input_size"]
    assert pixels[:, 0, 0].tolist() == [1, -1, 1]  # [-1, 1], not the usual ImageNet statistics


def test_the_transform_of_a_model_is_that_of_its_name():
    model = create_model("test_resnet")
    image = Image.radial_gradient("L").convert("RGB")
    torch.testing.assert_close(create_transform(model)(image), create_transform("test_resnet")(image))
    assert create_transform(model, input_size=(3, 48, 48))(image).shape == (3, 48, 48)
    assert create_transform(model, is_training=True, hflip=0.5)(image).shape == (3, 160, 160)


def test_a_grey_model_wants_one_mean():
    config = data_config(create_model("resnet18", in_chans=1))
    assert config["input_size"] == (1, 224, 224)
    assert config["mean"] == (pytest.approx((0.485 + 0.456 + 0.406) / 3),)
    assert data_config(torch.nn.Linear(3, 3))["mean"] == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("chans", "size", "classes"), [(1, 8, 10), (3, 32, 7), (2, 9, 1)])
def test_the_convnet_takes_any_images(chans, size, classes):
    model = timm.create_model("advprop_convnet", in_chans=chans, num_classes=classes)
    images = torch.rand(2, chans, size, size)
    assert model(images).shape == (2, classes)
    assert model.forward_head(model.forward_features(images), pre_logits=True).shape == (2, 64)
    model.reset_classifier(0)
    assert model(images).shape == (2, 64)
    with pytest.raises(ValueError, match="'avg', got 'max'"):
        model.reset_classifier(3, "max")


def test_the_convnet_is_small_and_groups_its_layers():
    model = create_model("advprop_convnet")
    assert 25_000 < sum(p.numel() for p in model.parameters()) < 35_000
    assert model.pretrained_cfg["mean"] == (0.0,)
    assert model.pretrained_cfg["std"] == (1.0,)
    optimiser = create_optimizer_v2(model, "sgd", lr=0.1, layer_decay=0.5)
    assert len({group["lr_scale"] for group in optimiser.param_groups}) > 1


_LOAD = """
import json, sys, warnings
warnings.simplefilter("error")
from tests.hub import fingerprint
from advprop.models import create as models
found = {}
settings = json.loads(sys.argv[1])
for name in sys.argv[2:]:
    try:
        found[name] = fingerprint(models.create_model(name, pretrained=True, **settings))
    except OSError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def serialised(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getvalue()


def load_from(repos, home, *names, **settings):
    """What a process of its own makes of models whose weights a hub on this machine has."""
    with serve_hub(repos, home) as environment:
        run = subprocess.run(
            [sys.executable, "-c", _LOAD, json.dumps(settings), *names],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert run.returncode == 0, run.stderr
    return [json.loads(run.stdout.splitlines()[-1])[name] for name in names]


def test_weights_come_through_the_hub_and_failures_are_told(tmp_path):
    model, other = create_model("tf_efficientnet_b0_ap"), create_model("test_resnet")
    config = {"architecture": "test_resnet", "num_classes": 1000, "pretrained_cfg": {}}
    repos = {
        "timm/tf_efficientnet_b0.ap_in1k": {"model.safetensors": save(model.state_dict())},
        "me/mine": {"config.json": json.dumps(config).encode(), "pytorch_model.bin": serialised(other)},
        "timm/test_resnet.r160_in1k": {"model.safetensors": Truncated(save(other.state_dict()))},
        "timm/test_vit.r160_in1k": {"model.safetensors": 403, "pytorch_model.bin": 403},
    }
    names = ("tf_efficientnet_b0_ap", "hf-hub:me/mine", "test_resnet", "test_vit", "test_convnext")
    loaded, from_bin, truncated, refused, missing = load_from(repos, tmp_path, *names)
    assert loaded == fingerprint(model)
    assert from_bin == fingerprint(other)
    assert re.search(r"test_resnet could not be loaded: .*without sending complete message", truncated)
    assert re.search(r"test_vit could not be loaded: .*403.*127\.0\.0\.1", refused)
    assert re.search(r"test_convnext could not be loaded: .*404.*127\.0\.0\.1", missing)
    repos["timm/test_resnet.r160_in1k"] = {"model.safetensors": save(other.state_dict())}
    assert load_from(repos, tmp_path, "test_resnet") == [fingerprint(other)]  # nothing of the half is left


def test_files_that_are_damaged_or_of_another_model_are_told_with_the_way_out(tmp_path):
    whole = serialised(create_model("test_resnet"))
    repos = {
        "timm/test_efficientnet.r160_in1k": {"model.safetensors": b"not weights" * 100},
        "timm/test_resnet.r160_in1k": {"pytorch_model.bin": whole[: len(whole) // 2]},
        "timm/test_vit.r160_in1k": {"pytorch_model.bin": b"junk" * 100},
        "timm/test_convnext.r160_in1k": {"pytorch_model.bin": whole},
        "me/no-settings": {"config.json": b"{nonsense", "pytorch_model.bin": whole},
        "me/no-name": {"config.json": b"{}", "pytorch_model.bin": whole},
    }
    names = [repo.removeprefix("timm/").removesuffix(".r160_in1k") for repo in repos]
    names = [f"hf-hub:{name}" if "/" in name else name for name in names]
    for name, told in zip(names, load_from(repos, tmp_path, *names), strict=True):
        message = (
            rf"{name} are damaged or of another model \(.+\); .* delete the file from its cache \(.*hub\)"
        )
        assert re.search(message, told)


def test_what_is_not_about_the_weights_stays_the_error_that_it_is():
    for pretrained in (False, True):
        with pytest.raises(KeyError, match="nonsense"):
            create_model("test_vit", pretrained, norm_layer="nonsense")


@pytest.mark.parametrize("content", [b"junk" * 100, b"", b"PK\x03\x04"])
def test_a_file_that_holds_no_weights_is_told(content, tmp_path):
    for name in ("weights.pth", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"cannot read the weights .*{name}: ."):
            weights_from(tmp_path / name, "test_resnet")
