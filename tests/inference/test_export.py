import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.task import ClassificationEvaluator
from torch import nn

from advprop.inference import export
from advprop.inference.export import export_timm
from advprop.inference.exported import describe_export
from advprop.inference.load import load_model, load_run
from advprop.inference.onnx_file import export_onnx
from advprop.inference.prediction import predict
from advprop.models import create_model, data_config
from advprop.norms.branch import use_branch
from advprop.norms.wrap import add_aux_norm, remove_aux_norm


@pytest.fixture(scope="module")
def exported(folder_run, tmp_path_factory):
    """The folder of the run's model."""
    return export_timm(load_run(folder_run.run.directory), tmp_path_factory.mktemp("models") / "digits")


def randomised(model):
    """The model with statistics and weights that are not those of a new one."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(torch.rand_like(tensor) + 0.5)
    return model.eval()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm's data set leaves them open
def test_timms_evaluator_measures_what_the_run_measured(exported, folder_run, digit_folders):
    """The steps of timm's validate.py."""
    model = timm.create_model(f"local-dir:{exported}", pretrained=True).eval()
    config = resolve_data_config({}, model=model, use_test_size=True)
    grey = {"input_img_mode": "L"}
    data = create_dataset("", str(digit_folders), split="validation", **grey)
    loader = create_loader(
        data,
        input_size=config["input_size"],
        batch_size=128,
        use_prefetcher=False,
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
        num_workers=0,
        crop_pct=config["crop_pct"],
        crop_mode=config["crop_mode"],
        device=torch.device("cpu"),
    )
    evaluator = ClassificationEvaluator(torch.device("cpu"))
    with torch.inference_mode():
        for images, labels in loader:
            evaluator.update(model(images), labels)
    n, top1, top5 = evaluator.counts.tolist()
    clean = folder_run.clean
    assert (n, top1, top5) == (clean.n, round(clean.top1 * clean.n), round(clean.top5 * clean.n))
    assert evaluator.loss_sum.item() / n == pytest.approx(clean.loss, rel=1e-4)


def test_an_exported_run_knows_its_classes(exported, digit_folders):
    again = timm.create_model(f"local-dir:{exported}", pretrained=True)
    assert tuple(again.pretrained_cfg["label_names"]) == ("four", "one", "three", "two", "zero")
    names = ("zero", "three")
    pictures = [sorted((digit_folders / "train" / name).iterdir())[0] for name in names]
    assert tuple(each.best.name for each in predict(again, pictures)) == names
    assert tuple(each.best.name for each in predict(load_model(exported), pictures)) == names


def test_the_folder_is_the_model_bit_for_bit(exported, folder_run):
    assert sorted(path.name for path in exported.iterdir()) == ["config.json", "model.safetensors"]
    model = load_run(folder_run.run.directory)
    weights = load_file(exported / "model.safetensors")
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    export_timm(model, exported)
    assert model.pretrained_cfg["label_names"] == ("four", "one", "three", "two", "zero")  # left as it was
    assert data_config(load_model(exported)) == data_config(model)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("test_resnet", {"num_classes": 3, "in_chans": 1}),
        ("test_efficientnet", {"num_classes": 3, "drop_rate": 0.3, "drop_path_rate": 0.1}),
        ("test_vit", {"num_classes": 3, "img_size": 96}),
    ],
)
def test_models_of_timm_come_back_as_they_were(name, settings, tmp_path):
    model = randomised(create_model(name, **settings)).to(memory_format=torch.channels_last)
    before = model.state_dict()
    export_timm(model, tmp_path, class_names=("a", "b", "c"))
    again = load_model(tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.state_dict().items())
    size = data_config(model)["input_size"]
    images = torch.rand(2, *size)
    assert data_config(again)["input_size"] == size
    torch.testing.assert_close(again(images), model(images))
    assert "label_names" not in model.pretrained_cfg
    assert {tensor.is_contiguous() for tensor in model.state_dict().values()} == {True, False}  # as it was


def test_a_branch_is_exported_as_the_plain_model(tmp_path):
    model = add_aux_norm(create_model("test_resnet", num_classes=3))
    randomised(model)
    images = torch.rand(2, 3, 64, 64)
    with use_branch(model, "adv"), torch.no_grad():
        expected = model(images)
    with pytest.raises(ValueError, match=r"the branches main, adv; remove_aux_norm"):
        export_timm(model, tmp_path / "x")
    with pytest.raises(ValueError, match=r"the branches main, adv; remove_aux_norm"):
        export_onnx(model, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
    again = load_model(export_timm(remove_aux_norm(model, "adv"), tmp_path / "adv"))
    with torch.no_grad():
        torch.testing.assert_close(again(images), expected)


def test_what_cannot_be_exported_is_said(tmp_path):
    model = create_model("test_resnet", num_classes=3)
    with pytest.raises(
        ValueError, match="class_names must be 3 names, one for each class, got \\('a', 'b'\\)"
    ):
        export_timm(model, tmp_path, class_names=("a", "b"))
    with pytest.raises(ValueError, match="one of timm's, with a pretrained_cfg, got Linear"):
        export_timm(nn.Linear(2, 2), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        export_timm(model, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_names_come_with_their_descriptions_or_anew(tmp_path):
    model = create_model("test_resnet", num_classes=2)
    described = {"label_names": {"0": "c", "1": "d"}, "label_descriptions": {"c": "cat", "d": "dog"}}
    model.pretrained_cfg = dict(model.pretrained_cfg, num_classes=2, **described)
    config = load_model(export_timm(model, tmp_path / "own")).pretrained_cfg
    assert {name: config[name] for name in described} == described
    config = load_model(export_timm(model, tmp_path / "new", class_names=("e", "f"))).pretrained_cfg
    assert config["label_names"] == ["e", "f"]
    assert config.get("label_descriptions") is None


def test_what_training_put_around_a_model_is_not_exported(tmp_path):
    model = randomised(create_model("test_resnet", num_classes=2))
    again = load_model(export_timm(torch.compile(model), tmp_path))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_a_broken_export_leaves_the_one_before(exported, monkeypatch):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}

    def full(model, directory, **_):
        (export.Path(directory) / "model.safetensors").write_bytes(b"half of")
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "save_for_hf", full)
    with pytest.raises(OSError, match="No space left"):
        export_timm(load_model(exported), exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before


def test_the_lines_that_are_shown_load_the_model(exported):
    told = describe_export(load_model(exported), exported)
    assert "5 classes, gray images of 10 x 10 pixels" in told
    [code] = [line.removeprefix("Python: ") for line in told.splitlines() if line.startswith("Python: ")]
    shown = f"{code}; print(type(model).__name__, model.pretrained_cfg['label_names'][0])"
    result = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["ConvNet", "four"]
