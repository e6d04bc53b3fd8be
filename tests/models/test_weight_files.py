"""One reader of weights: whatever the ending and the container, and a line for each thing that is none."""

import argparse
import io
import json
import os
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.utils import CheckpointSaver

from advprop import PGD, AdvPropTask, PixelModel, add_aux_norm, create_model
from advprop.models import weights_from

MODEL = timm.create_model("test_resnet", num_classes=7)
STATE = MODEL.state_dict()
ZEROS = {name: torch.zeros_like(value) for name, value in STATE.items()}
OPTIONS = argparse.Namespace(model="test_resnet", lr=0.1)


def named(prefix: str, state: dict[str, Any] = STATE) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


CONTAINERS: dict[str, Any] = {
    "state dict": STATE,
    "timm": {"epoch": 3, "arch": "test_resnet", "state_dict": STATE, "args": OPTIONS, "version": 2},
    "timm with an average": {"state_dict": ZEROS, "state_dict_ema": STATE, "args": OPTIONS},
    "torchvision": {"model": STATE, "optimizer": {}, "lr_scheduler": {}, "epoch": 1, "args": OPTIONS},
    "torchvision with an average": {
        "model": ZEROS,
        "model_ema": {"n_averaged": torch.tensor(5)} | named("module."),
    },
    "torch's examples": {"epoch": 1, "state_dict": named("module."), "best_acc1": torch.tensor(71.0)},
    "torch's tutorials": {"epoch": 1, "model_state_dict": STATE, "loss": 0.4},
    "run": {"model": STATE, "ema": None, "step": 3},
    "run with an average": {"model": ZEROS, "ema": STATE, "step": 3},
    "average in a module": {"model": ZEROS, "ema": {"module": STATE, "updates": 3}},
    "lightning": {"state_dict": named("model."), "hyper_parameters": {"lr": 0.1}},
    "lightning, compiled": {"state_dict": named("model._orig_mod.")},
    "module": named("module."),
    "compiled": named("_orig_mod."),
    "both": named("module._orig_mod."),
    "both the other way": named("_orig_mod.module."),
    "pixel model": PixelModel(MODEL, (0.5,) * 3, (0.5,) * 3).state_dict(),
}


@pytest.mark.parametrize(
    ("container", "ending"),
    [
        *product(CONTAINERS, [".pt", ".pth.tar"]),
        *product(["timm"], [".pth", ".ckpt", ".bin", ".safetensors"]),
    ],
)
def test_every_container_is_read_with_every_ending(container: str, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"weights{ending}"
    torch.save(CONTAINERS[container], file)
    assert_loaded(file)


def test_what_is_inside_counts_and_not_the_ending(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.bin", "c.pth"):
        save_file(STATE, tmp_path / name)
        assert_loaded(tmp_path / name)
    torch.save(STATE, tmp_path / "d.safetensors")
    assert_loaded(tmp_path / "d.safetensors")
    torch.save(STATE, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    assert_loaded(tmp_path / "legacy.pt")


def test_half_precision_is_read(tmp_path: Path) -> None:
    half = {name: value.half() if value.is_floating_point() else value for name, value in STATE.items()}
    torch.save(half, tmp_path / "half.pth")
    assert_loaded(tmp_path / "half.pth", rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
def test_what_timms_saver_writes_of_a_task_has_the_main_norms(
    separate: Any, averaged: bool, tmp_path: Path
) -> None:
    model = timm.create_model("test_resnet", num_classes=7)
    model.load_state_dict(STATE)
    model = add_aux_norm(model, separate=separate)
    for name, value in model.state_dict().items():
        if ".aux." in name:
            value.fill_(9)
    task = AdvPropTask(model, {"adv": PGD(eps=4 / 255, steps=1, step_size=1 / 255)})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    if averaged:
        task.setup_ema()
        for value in model.state_dict().values():
            value.fill_(8)
    saver = CheckpointSaver(model, optimizer, args=OPTIONS, task=task, checkpoint_dir=str(tmp_path))
    saver.save_checkpoint(0, metric=1.0)
    assert_loaded(tmp_path / "last.pth.tar")


def assert_loaded(file: Path, **tolerances: float) -> None:
    """That a model starts from the weights that are in the file, all of them."""
    overlay = weights_from(file, "test_resnet")
    model = create_model("test_resnet", pretrained=True, num_classes=7, pretrained_cfg_overlay=overlay)
    torch.testing.assert_close(model.state_dict(), STATE, **{"rtol": 0, "atol": 0} | tolerances)


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def as_zip(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "1")
    return file.getvalue()


def scripted(path: Path) -> None:
    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 2

    torch.jit.trace(Half(), torch.ones(1)).save(path)


def writes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def saves(content: Any, **kwargs: Any) -> Callable[[Path], object]:
    return partial(torch.save, content, **kwargs)


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "html": (writes(b"\n<!DOCTYPE html><html>404</html>"), "it is a web page .*download"),
    "empty": (writes(b""), "it is empty"),
    "pointer": (
        writes(b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n"),
        "Git LFS.*`git lfs pull`",
    ),
    "text": (writes(b'{"weight_map": {}}\n'), "it is a text; safetensors, and"),
    "gzip": (writes(b"\x1f\x8b\x08\0\0"), "it is compressed"),
    "keras": (writes(b"\x89HDF\r\n\x1a\n"), "it is a file of Keras"),
    "numpy": (writes(as_zip("head/kernel.npy")), "it is a zip archive with head/kernel.npy"),
    "noise": (writes(bytes(range(128, 256)) * 4), "it is damaged or cut off, or something else"),
    "list": (saves([1, 2]), "it holds a list, and no tensors with names; safetensors"),
    "tensor": (saves(torch.ones(3)), "it holds a Tensor, and no"),
    "none": (saves(None), "it holds a NoneType, and no"),
    "numbers": (saves({"epoch": 3, "lr": 0.1}), "it holds a dictionary of epoch, lr, and no"),
    "model": (saves(MODEL), r"a whole pickled model that runs code \(.*ResNet.*state_dict\(\) of the model"),
    "old model": (saves(MODEL, _use_new_zipfile_serialization=False), "a .*pickle.* runs code .*state_dict"),
    "inside": (saves({"model": MODEL, "ema": None}), "a whole pickled model"),
    "script": (scripted, r"TorchScript archive, which contains code; save the state_dict\(\)"),
}


@pytest.mark.parametrize("ending", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_what_has_no_weights_is_told_in_a_line(kind: str, ending: str, tmp_path: Path) -> None:
    write, message = OTHERS[kind]
    file = tmp_path / f"file{ending}"
    write(file)
    with pytest.raises(ValueError, match=rf"cannot read the weights .*file{ending}: .*{message}") as told:
        weights_from(file, "test_resnet")
    assert "\n" not in str(told.value)
    assert "weights_only" not in str(told.value)


@pytest.mark.parametrize("new", [False, True])
def test_a_file_that_is_cut_off_is_told(new: bool, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "whole.pth", _use_new_zipfile_serialization=new)
    save_file(STATE, tmp_path / "whole.safetensors")
    for name in ("whole.pth", "whole.safetensors"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="it is damaged or cut off"):
            weights_from(tmp_path / name, "test_resnet")


@pytest.mark.parametrize("new", [False, True])
def test_nothing_of_a_pickle_is_run(new: bool, tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save(STATE | {"extra": Runs(made)}, tmp_path / "file.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=r"it is a pickle that runs code \((posix|nt)\.mkdir\)"):
        weights_from(tmp_path / "file.pth", "test_resnet")
    assert not made.exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"config.json": {"model_type": "resnet"}, "model.safetensors": 1},
            "a folder of the transformers library",
        ),
        ({"config.json": {"architecture": "resnet18"}}, "an exported model; give .*model.safetensors"),
        (
            {"recipe.yaml": {}, "checkpoints/step-1.pt": 1},
            r"directory of a run; give .*checkpoints/step-\*.pt",
        ),
        ({"config.json": [1]}, "it is a directory; give a file: safetensors"),
    ],
)
def test_a_directory_is_told_with_the_file_to_give(
    files: dict[str, Any], message: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"cannot read the weights .*{message}"):
        weights_from(tmp_path, "test_resnet")
    with pytest.raises(ValueError, match=r"there are no weights .*nowhere"):
        weights_from(tmp_path / "nowhere", "test_resnet")
