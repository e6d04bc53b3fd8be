import random
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from advprop import train
from advprop.evaluation.evaluator import evaluate
from advprop.inference.load import load_model, load_run, trained
from advprop.models import create_model, data_config
from advprop.norms.wrap import branch_names
from advprop.recipes.recipe import make_recipe

DIGITS = make_recipe(train_images=40, batch_size=10, epochs=1, severities=())


def test_the_model_of_a_run_is_the_one_that_its_tests_measured(folder_run):
    model = load_run(folder_run.run.directory)
    assert branch_names(model) == ("main",)
    assert not model.training
    assert model.state_dict().keys() == create_model("advprop_convnet").state_dict().keys()
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}
    with trained(folder_run.run.directory, "cpu") as (pixels, batches):
        for branch in ("main", "adv"):
            plain = type(pixels)(load_run(folder_run.run.directory, branch), pixels.mean, pixels.std)
            assert evaluate(plain, batches) == evaluate(pixels, batches, branch=branch)
    assert folder_run.clean.top1 > 0.7


def test_the_averaged_weights_are_taken_where_there_are_some(folder_run):
    state = folder_run.run.checkpoints.latest()
    weight = load_run(folder_run.run.directory).head.weight
    assert torch.equal(weight, state["ema"]["head.weight"])
    assert not torch.equal(weight, state["model"]["head.weight"])


def test_the_model_knows_what_it_wants_and_what_its_classes_are(folder_run):
    config = load_run(folder_run.run.directory).pretrained_cfg
    expected = {
        "architecture": "advprop_convnet",
        "input_size": (1, 10, 10),
        "mean": (0.0,),
        "std": (1.0,),
        "crop_pct": 0.9,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "num_classes": 5,
        "label_names": ("four", "one", "three", "two", "zero"),
    }
    assert {name: config[name] for name in expected} == expected


def test_images_that_fit_on_the_device_are_taken_whole(tmp_path):
    train(DIGITS, tmp_path / "run")
    model = load_run(tmp_path / "run")
    found = data_config(model)
    assert (found["input_size"], found["crop_pct"]) == ((1, 8, 8), 1.0)
    assert model.pretrained_cfg["label_names"] == tuple("0123456789")


def test_a_fine_tuned_model_says_nothing_of_the_one_that_it_was(tmp_path, digit_folders):
    source = create_model("test_resnet", num_classes=7)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    recipe = make_recipe(
        data=str(digit_folders), model="test_resnet.r160_in1k", weights=str(tmp_path / "weights.safetensors")
    )
    recipe = replace(
        recipe, image_size=32, epochs=1, batch_size=100, workers=0, freeze=("conv1", "bn1"), device="cpu"
    )
    train(recipe, tmp_path / "run")
    (tmp_path / "weights.safetensors").unlink()  # the checkpoint has all that it needs
    model = load_run(tmp_path / "run")
    assert model.pretrained_cfg["input_size"] == (3, 32, 32)
    assert model.pretrained_cfg.keys().isdisjoint(
        {"tag", "hf_hub_id", "url", "file", "origin_url", "license"}
    )
    assert model.state_dict().keys() == source.state_dict().keys()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model.conv1[0].weight, source.conv1[0].weight)


def test_the_run_may_move_and_its_data_may_go(folder_run, digit_folders, tmp_path):
    shutil.copytree(folder_run.run.directory, tmp_path / "elsewhere")
    recipe = tmp_path / "elsewhere" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(digit_folders), "/nowhere"))
    before = load_run(folder_run.run.directory).state_dict()
    after = load_model(tmp_path / "elsewhere").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_standard_run_has_no_other_branch(tmp_path):
    train(replace(DIGITS, method="standard"), tmp_path / "run")
    assert branch_names(load_run(tmp_path / "run")) == ("main",)
    with pytest.raises(ValueError, match=r"trained the branches main, got 'adv'"):
        load_run(tmp_path / "run", "adv")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/run", "there is no run and no exported model nowhere/run"),
        ("resnet5", "there is no model 'resnet5'; did you mean resnet"),
        ("advprop_convnet", "advprop_convnet has no pretrained weights"),
        (".", "neither the directory of a run nor an exported model"),
        ("weights.pth", "weights.pth is a file; give the directory of its run or an exported folder"),
        ("begun", "has no checkpoint yet"),
        ("empty", "cannot load the exported model in empty: .*architecture"),
        ("broken", "cannot load the exported model in broken: JSONDecodeError: "),
        ("strange", "cannot load the exported model in strange: AttributeError: "),
        ("weightless", "cannot load the exported model in weightless: RuntimeError: No suitable checkpoints"),
        ("hollow", "cannot load the exported model in hollow: .*pytorch_model.bin: it is empty"),
    ],
)
def test_what_is_no_model_is_said(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, file, text in (
        ("begun", "recipe.yaml", DIGITS.to_yaml()),
        ("empty", "config.json", "{}"),
        ("broken", "config.json", '{"architecture": "test_resnet"'),
        ("strange", "config.json", '{"architecture": 3}'),
        ("weightless", "config.json", '{"architecture": "test_resnet", "pretrained_cfg": {}}'),
        ("hollow", "config.json", '{"architecture": "test_resnet", "pretrained_cfg": {}}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    (tmp_path / "weights.pth").touch()
    (tmp_path / "hollow" / "pytorch_model.bin").touch()
    with pytest.raises(ValueError, match=message):
        load_model(source)


def test_a_branch_is_of_a_run(tmp_path):
    with pytest.raises(ValueError, match="not the directory of a run, and has no branch 'adv'"):
        load_model("test_resnet", "adv")


def test_randomness_is_as_it_was(folder_run):
    before = torch.get_rng_state(), random.getstate()
    load_run(folder_run.run.directory)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
