"""The guide's lines for timm's training script, in a loop of timm's parts in the order of that script."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import FastCollateMixup, Mixup, create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask, TrainingTask, load_task_ema_checkpoint, resume_task_checkpoint
from timm.utils import CheckpointSaver, NativeScaler, accuracy, random_seed
from torch import nn

from advprop import StandardTask

CPU = torch.device("cpu")
ERASING = {"re_prob": 0.5, "re_mode": "pixel"}
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of timm's datasets


@pytest.fixture(scope="module")
def documented(root: Path) -> dict[str, Any]:
    """What the lines that the guide adds to the script define, `task` for what they make of its own."""
    guide = (root / "docs/guides/your_code.md").read_text(encoding="utf-8")
    (diff,) = re.findall(r"^```diff\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    imports, call = ("\n".join(part) for part in split_at_dots(diff))
    found: dict[str, Any] = {}
    body = textwrap.indent(f"{textwrap.dedent(call)}\n    **others)\nreturn task", "    ")
    exec(f"{imports}\ndef make(model, data_config, train_loss_fn, **others):\n{body}", found)
    return found


def split_at_dots(diff: str) -> tuple[list[str], list[str]]:
    """The lines after the change, before and behind those that are left out."""
    lines = [line[1:] for line in diff.splitlines() if not line.startswith("-")]
    middle = lines.index("...")
    return lines[:middle], lines[middle + 1 :]


def timms_task(
    model: nn.Module, data_config: dict[str, Any], criterion: nn.Module, **others: Any
) -> ClassificationTask:
    """What the script makes without the lines of the guide."""
    return ClassificationTask(model, criterion, **others)


def standard(
    model: nn.Module, data_config: dict[str, Any], criterion: nn.Module, **others: Any
) -> StandardTask:
    pixels = {"mean": data_config["mean"], "std": data_config["std"]}
    return StandardTask(model, criterion=criterion, **pixels, **others)


class Script:
    """What timm's script does, in its order and with what it passes."""

    def __init__(
        self,
        folder: Path,
        output: Path,
        make: Callable[..., TrainingTask],
        load: Callable[..., Any],
        resume: Path | None = None,
        criterion: nn.Module | None = None,
        **settings: Any,
    ) -> None:
        random_seed(0)
        model = timm.create_model("test_resnet", num_classes=5)
        config = resolve_data_config({"img_size": 32}, model=model)
        shared = {"mean": config["mean"], "std": config["std"], "device": CPU, "num_workers": 0}
        sets = [
            create_dataset("", folder, split=x, is_training=x == "train") for x in ("train", "validation")
        ]
        self.train = load(
            sets[0], input_size=config["input_size"], batch_size=20, is_training=True, **shared | settings
        )
        self.test = load(sets[1], input_size=config["input_size"], batch_size=1000, crop_pct=1.0, **shared)
        criterion = criterion or LabelSmoothingCrossEntropy(0.1)
        self.task = make(model, config, criterion, device=CPU, dtype=None, verbose=False)
        model, self.evaluated = self.task.get_trainable_module(), self.task.get_eval_model()
        self.optimizer = create_optimizer_v2(model, opt="adamw", lr=5e-3, weight_decay=1e-4)
        self.scaler, self.epoch = NativeScaler(device="cpu"), 0
        if resume:
            self.epoch = resume_task_checkpoint(self.task, str(resume), self.optimizer, self.scaler)
        self.task.setup_ema(decay=0.8)
        if resume:
            load_task_ema_checkpoint(self.task, str(resume))
        self.saver = CheckpointSaver(
            model=model,
            optimizer=self.optimizer,
            amp_scaler=self.scaler,
            checkpoint_dir=str(output),
            recovery_dir=str(output),
            task=self.task,
        )
        self.scheduler, self.epochs = create_scheduler_v2(self.optimizer, num_epochs=4)
        self.scheduler.step(self.epoch)
        self.losses: list[float] = []

    def run(self, epochs: int, most: int | None = None) -> Script:
        """Train, validate both models, save."""
        for epoch in range(self.epoch, self.epoch + epochs):
            random_seed(epoch)
            self.task.get_trainable_module().train()
            for images, labels in self.train:
                with torch.autocast("cpu", torch.bfloat16, enabled=False):
                    loss = self.task(images, labels)["loss"]
                self.scaler(loss, self.optimizer, clip_grad=1.0, parameters=self.task.get_clip_parameters())
                self.optimizer.zero_grad()
                self.losses.append(float(loss.detach()))
                self.task.update_ema(step=len(self.losses) + self.epoch * len(self.train))
                if len(self.losses) == most:
                    return self
            self.top1 = self.validate(self.evaluated)
            self.top1_ema = self.validate(self.task.get_eval_model(ema=True))
            self.saver.save_checkpoint(epoch, metric=self.top1_ema)
            self.scheduler.step(epoch + 1, self.top1_ema)
        return self

    def validate(self, model: Any) -> float:
        model.eval()
        with torch.inference_mode():
            [(images, labels)] = self.test
            return float(accuracy(model(images), labels)[0])


@pytest.mark.slow
@pytest.mark.nightly
def test_the_documented_lines_train_with_noise_in_erased_rectangles_and_resume(
    documented: dict[str, Any], digit_folders: Path, tmp_path: Path
) -> None:
    lines = documented["make"], documented["create_loader"]
    whole = Script(digit_folders, tmp_path, *lines, hflip=0, scale=(0.8, 1), **ERASING).run(4)
    assert type(whole.task) is documented["AdvPropTask"]
    assert whole.losses[-1] < whole.losses[0] / 2
    assert whole.top1 > 60  # of five classes; without training it is 20
    assert whole.top1_ema > 60

    (half := tmp_path / "half").mkdir()
    settings = {"hflip": 0, "scale": (0.8, 1), "resume": tmp_path / "checkpoint-1.pth.tar"} | ERASING
    rest = Script(digit_folders, half, *lines, **settings).run(2)
    assert len(rest.losses) == len(whole.losses) / 2
    assert rest.losses == whole.losses[len(rest.losses) :]
    assert (rest.top1, rest.top1_ema) == (whole.top1, whole.top1_ema)


def test_with_standard_training_the_steps_are_those_of_timms_own_task(
    documented: dict[str, Any], digit_folders: Path, tmp_path: Path
) -> None:
    erasing = {"re_prob": 0.5, "re_mode": "const"}
    theirs = Script(digit_folders, tmp_path, timms_task, create_loader, **erasing).run(1, most=3)
    ours = Script(digit_folders, tmp_path, standard, documented["create_loader"], **erasing).run(1, most=3)
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-3)
    assert ours.losses[0] == pytest.approx(theirs.losses[0], rel=1e-6)


@pytest.mark.parametrize("prefetcher", [True, False])
def test_mixed_images_are_pixels_too(
    documented: dict[str, Any], digit_folders: Path, tmp_path: Path, prefetcher: bool
) -> None:
    mixing = {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "label_smoothing": 0.1, "num_classes": 5}
    settings = {"use_prefetcher": prefetcher} | (
        {"collate_fn": FastCollateMixup(**mixing)} if prefetcher else {}
    )
    lines = documented["make"], documented["create_loader"]
    made = Script(digit_folders, tmp_path, *lines, criterion=SoftTargetCrossEntropy(), **settings | ERASING)
    if not prefetcher:
        mix = Mixup(**mixing)
        made.train = [mix(*part) for part in made.train]
    assert all(loss < 10 for loss in made.run(1, most=2).losses)


@pytest.mark.parametrize(
    ("settings", "values"),
    [({}, r"-1 to 1"), ({"mean": (0.0,) * 3, "std": (1.0,) * 3, "re_prob": 1.0, "re_mode": "pixel"}, r"-\d")],
    ids=["normalized", "erased"],
)
def test_timms_own_loader_is_an_error_that_names_ours(
    settings: dict[str, Any], values: str, documented: dict[str, Any], digit_folders: Path, tmp_path: Path
) -> None:
    for make in (documented["make"], standard):
        script = Script(digit_folders, tmp_path, make, create_loader, **settings)
        told = rf"pixels in \[0, 1\], got values from {values}.*advprop\.data\.create_loader"
        with pytest.raises(ValueError, match=told):
            script.run(1)
