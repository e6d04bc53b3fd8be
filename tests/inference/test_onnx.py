"""ONNX files: the same logits as the model's, in every precision, and what a program needs beside them."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from advprop.attacks.pixel_model import PixelModel
from advprop.data import some_images
from advprop.inference import onnx_file
from advprop.inference.export import export_timm
from advprop.inference.exported import export_run_onnx
from advprop.inference.load import load_model, load_run, trained, training_images
from advprop.inference.onnx_file import export_onnx
from advprop.models import create_model, data_config
from advprop.runtime import optional as extras


def randomised(model):
    """The model with statistics and weights that are not those of a new one."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.mul_(torch.rand_like(tensor) + 0.5)
    return model.eval()


def logits_of(file, images):
    """What onnxruntime computes."""
    [logits] = onnxruntime.InferenceSession(file).run(["logits"], {"images": images.numpy()})
    return torch.from_numpy(logits)


def metadata(file):
    """What a file says of itself: the preparation, and the names of the classes."""
    found = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    return json.loads(found["pretrained_cfg"]), json.loads(found["class_names"])


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_onnxruntime_computes_the_same(name, tmp_path):
    model = randomised(create_model(name, num_classes=3)).train()
    assert export_onnx(model, tmp_path / "new" / "model.onnx") <= 1e-4
    assert model.training
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "new" / "model.onnx")
    size = data_config(model)["input_size"]
    assert session.get_inputs()[0].shape == ["batch", *size]
    images = torch.randn(7, *size)
    with torch.no_grad():
        expected = model.eval()(images).numpy()
    [logits] = session.run(["logits"], {"images": images.numpy()})
    assert np.abs(expected).max() > 1e-3  # else any file would agree
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_the_file_says_what_it_wants(folder_run, tmp_path):
    model = load_run(folder_run.run.directory)
    export_onnx(model, tmp_path / "model.onnx")
    config, names = metadata(tmp_path / "model.onnx")
    assert names == config["label_names"] == ["four", "one", "three", "two", "zero"]
    assert (config["mean"], config["std"], config["input_size"]) == ([0.0], [1.0], [1, 10, 10])
    assert (config["crop_pct"], config["interpolation"], config["crop_mode"]) == (0.9, "bicubic", "center")
    assert (config["value_range"], config["exif_orientation"], config["precision"]) == ([0, 1], False, "fp32")
    again = load_model(export_timm(model, tmp_path / "folder"))
    export_onnx(again, tmp_path / "again.onnx")
    assert str(tmp_path) not in str(metadata(tmp_path / "again.onnx"))


def test_names_of_imagenet_are_those_that_predict_shows():
    told = onnx_file.metadata(create_model("test_resnet"), takes_pixels=True, precision="fp32")
    config, names = map(json.loads, told.values())
    assert (len(names), names[1]) == (1000, "goldfish, Carassius auratus")
    assert (config["mean"], config["std"]) == ([0, 0, 0], [1, 1, 1])  # nothing is left to do


@pytest.mark.parametrize(("name", "raw"), [("test_resnet", False), ("test_vit", True)])
def test_fp16_is_near(name, raw, tmp_path):
    plain = randomised(create_model(name, num_classes=3))
    model = plain if raw else PixelModel(plain, 0.5, 0.2)
    before = {key: tensor.dtype for key, tensor in model.state_dict().items()}
    difference = export_onnx(model, tmp_path / "model.onnx", precision="fp16")
    images = torch.rand(3, *data_config(plain)["input_size"])
    with torch.no_grad():
        expected = model(images)
    assert 0 < difference < 0.02 * max(1, expected.abs().max())
    torch.testing.assert_close(logits_of(tmp_path / "model.onnx", images), expected, atol=0.02, rtol=0.02)
    stored = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert sum(np.prod(each.dims) for each in stored if each.data_type == onnx.TensorProto.FLOAT16) > 1000
    assert {key: tensor.dtype for key, tensor in model.state_dict().items()} == before


def test_a_number_too_large_for_fp16_is_not_written(tmp_path):
    model = create_model("test_resnet", num_classes=3).eval()
    with torch.no_grad():
        model.fc.weight.mul_(1e7)
    with pytest.raises(ArithmeticError, match=r"by (nan|inf) .*was not written"):
        export_onnx(model, tmp_path / "model.onnx", precision="fp16")


def test_a_run_is_written_in_every_precision_and_measured(folder_run, digit_folders, tmp_path):
    directory = folder_run.run.directory
    written = export_run_onnx(directory, load_run(directory), tmp_path, ("fp32", "fp16", "int8"))
    exact, half, eighth = written
    assert [each.file.name for each in written] == ["model.onnx", "model.fp16.onnx", "model.int8.onnx"]
    assert "logits off PyTorch's by" in str(exact)
    assert str(exact).endswith("at most on images of the run")
    assert half.before == eighth.before
    assert half.before.top1 == pytest.approx(folder_run.clean.top1)
    assert abs(half.after.top1 - half.before.top1) < 0.01
    assert abs(eighth.after.top1 - eighth.before.top1) < 0.05
    kinds = {node.op_type for node in onnx.load(eighth.file).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert eighth.file.stat().st_size < half.file.stat().st_size < exact.file.stat().st_size
    with trained(directory) as (_, batches):
        pixels, labels = next(iter(batches))
    right = (logits_of(eighth.file, pixels).argmax(1) == labels).float().mean()
    assert right > 0.8
    assert metadata(eighth.file)[0]["precision"] == "int8"
    assert onnxruntime.InferenceSession(eighth.file).get_inputs()[0].shape == ["batch", 1, 10, 10]


def test_int8_is_calibrated_with_training_images_as_they_are_tested(folder_run):
    images = training_images(folder_run.run.directory, 50)
    assert images.shape == (50, 1, 10, 10)
    with trained(folder_run.run.directory) as (_, batches):
        tested = some_images(batches.images, 1000)
    assert not any((tested == image).flatten(1).all(1).any() for image in images[::10])


@pytest.mark.parametrize("gone", ["no run", "no images"])
def test_int8_without_images_is_refused_and_the_others_are_compared_on_random_ones(
    gone, folder_run, digit_folders, tmp_path, monkeypatch
):
    directory = folder_run.run.directory
    model = load_run(directory)
    if gone == "no images":
        monkeypatch.setattr("advprop.data.open.folder_of", lambda root, split: tmp_path / "gone")
    source = directory if gone == "no images" else "test_resnet"
    with pytest.raises(ValueError, match=r"int8 needs a run with its training images, to be calibrated"):
        export_run_onnx(source, model, tmp_path / "new", ("fp32", "int8"))
    assert not (tmp_path / "new").exists()
    [written] = export_run_onnx(source, model, tmp_path / "new", ("fp16",))
    assert str(written).endswith("at most on random images")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "int8 is calibrated with images, and got none"),
        (
            torch.zeros(0, 3, 160, 160),
            r"images must be \[N, 3, 160, 160\], one or more, got \[0, 3, 160, 160\]",
        ),
        (torch.zeros(2, 3, 32, 32), r"images must be \[N, 3, 160, 160\], one or more, got \[2, 3, 32, 32\]"),
        (torch.full((2, 3, 160, 160), 2.0), "pixels in \\[0, 1\\], got values from 2 to 2"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_onnx(create_model("test_resnet"), tmp_path / "x.onnx", precision="int8", images=images)
    with pytest.raises(ValueError, match="precision must be fp32, fp16 or int8, got 'fp8'"):
        export_onnx(create_model("test_resnet"), tmp_path / "x.onnx", precision="fp8")
    assert not list(tmp_path.iterdir())


def test_a_pixel_model_takes_pixels(tmp_path):
    plain = randomised(create_model("test_resnet", num_classes=3))
    model = PixelModel(plain, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert export_onnx(model, tmp_path / "model.onnx") <= 1e-4
    pixels = torch.rand(3, *data_config(plain)["input_size"])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    [logits] = session.run(None, {"images": pixels.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(pixels).numpy(), atol=1e-4)


def test_a_file_that_computes_something_else_is_not_left(tmp_path, monkeypatch):
    model = randomised(create_model("test_resnet", num_classes=3))
    (tmp_path / "model.onnx").write_text("the one before")
    write = onnx_file._write

    def other(written, *more):
        with torch.no_grad():
            changed = onnx_file.copy.deepcopy(written)
            next(changed.parameters()).add_(0.1)
        write(changed, *more)

    monkeypatch.setattr(onnx_file, "_write", other)
    message = (
        r"differ from PyTorch's by \d.*e.*in a batch of \d.*the tolerance of 1.00e-04; the largest logit"
    )
    with pytest.raises(ArithmeticError, match=message):
        export_onnx(model, tmp_path / "model.onnx")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"model.onnx": "the one before"}


class Undecided(nn.Module):
    """A model whose way depends on its images, which no export can record."""

    def __init__(self):
        super().__init__()
        self.pretrained_cfg = {"input_size": (1, 4, 4), "mean": (0.0,), "std": (1.0,)}
        self.num_classes = 2

    def forward(self, images):
        return images.flatten(1)[:, :2] if images.sum() > 0 else images.flatten(1)[:, 2:4]


def test_a_model_that_onnx_cannot_hold_is_said_in_a_line(tmp_path):
    # Torch 2.8 takes one way of the two, and what it writes is compared.
    said = r"Undecided cannot be written as ONNX: |onnxruntime's logits differ"
    with pytest.raises((ValueError, ArithmeticError), match=said) as caught:
        export_onnx(Undecided(), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not list(tmp_path.iterdir())


def test_logits_that_are_no_numbers_are_not_parity(tmp_path):
    model = create_model("test_resnet", num_classes=3)
    with torch.no_grad():
        model.fc.bias[0] = float("nan")
    with pytest.raises(ArithmeticError, match="by nan"):
        export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_way_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name.startswith("onnx") else name)
    with pytest.raises(extras.MissingExtraError, match=r'onnx and .*pip install "advprop\[onnx\]"'):
        export_onnx(create_model("test_resnet"), tmp_path / "model.onnx")
