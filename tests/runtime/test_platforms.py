"""What Windows and macOS do not have: the package neither imports it nor needs it at work."""

import io
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from advprop.attacks import PGD, ball
from advprop.cli.main import main
from advprop.data.augment import Augment
from advprop.data.image_tree import find_image_files
from advprop.data.open import open_data
from advprop.evaluation import CORRUPTIONS, corrupt
from advprop.inference.load import is_path
from advprop.inference.prediction import _Pictures
from advprop.models import create_model, data_config
from advprop.recipes import make_recipe
from advprop.runs.checkpoints import Checkpoints
from advprop.runtime import World, files, shell_word
from advprop.training import Loop

BARE = """
import importlib, multiprocessing, os, pkgutil, signal, socket, sys

multiprocessing.set_start_method("spawn")
import pydantic, timm, torch, torchvision, tyro, yaml

if "work" in sys.argv:
    import matplotlib.figure, sklearn.datasets, torch.export

for name in ("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
LACKING = {
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm"
    " pthread_kill sigpending sigwait sigwaitinfo",
    os: "O_DIRECTORY chown fchmod fork forkpty getegid geteuid getgid getpgid getuid killpg mkfifo"
    " sched_getaffinity setsid uname wait",
    socket: "AF_UNIX",
}
for module, names in LACKING.items():
    for name in names.split():
        module.__dict__.pop(name, None)

import advprop

for module in pkgutil.walk_packages(advprop.__path__, "advprop."):
    if module.name != "advprop.__main__" and not module.name.endswith("_files"):
        importlib.import_module(module.name)

from advprop.cli.main import main

if "work" in sys.argv:
    words = ["train", "--epochs", "1", "--severities", "none", "--out", "run"]
    assert main(words) == main([*words, "--resume"]) == main(["export", "run"]) == main(["plot", "run"]) == 0
print("works")
"""


@pytest.mark.parametrize(
    "what", ["import", pytest.param("work", marks=[pytest.mark.slow, pytest.mark.nightly])]
)
def test_nothing_of_posix_is_needed(what: str, root: Path, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-X",
        "warn_default_encoding",
        "-W",
        "default::EncodingWarning",
        "-c",
        BARE,
        what,
    ]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("works\n")
    assert f"{root / 'advprop'}" not in done.stderr  # of a warning


def test_every_text_file_has_its_encoding(root: Path) -> None:
    words = ["check", "--isolated", "--preview", "--select", "PLW1514", "advprop", "scripts", "docs"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_reader_that_goes_away_where_there_is_no_sigpipe(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return write

    read, write = os.pipe()
    monkeypatch.delattr(signal, "SIGPIPE", raising=False)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["models"]) == 141
    for handle in (read, write):
        os.close(handle)


def test_what_reads_images_goes_to_processes_that_are_not_forked(digit_folders: Path) -> None:
    recipe = make_recipe(data=str(digit_folders), image_size=16, workers=1, auto_augment="v0", test_share=0.3)
    data = open_data(recipe, recipe, data_config("resnet18"))
    for images in (data.train, data.test):
        samples = pickle.loads(ForkingPickler.dumps(images.samples))
        assert torch.equal(samples[0, 3].image, images.samples[0, 3].image)
    model = create_model("test_resnet")
    pictures = _Pictures([next((digit_folders / "train" / "one").iterdir())], model)
    assert torch.equal(pickle.loads(ForkingPickler.dumps(pictures))[0].pixels, pictures[0].pixels)


SPAWN = """
import multiprocessing, sys
from advprop.cli.main import main

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.nightly
@pytest.mark.slow
def test_images_are_read_by_processes_that_are_not_forked(digit_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SPAWN, encoding="utf-8")
    size = ["--channels", "1", "--image-size", "10", "--crop-pct", "0.9", "--scale", "none"]
    train = ["train", "--data", str(digit_folders), "--model", "advprop_convnet", "--out", "run", *size]
    train += ["--epochs", "1", "--batch-size", "20", "--workers", "2"]
    predict = ["predict", str(digit_folders / "validation" / "one"), "--model", "run", "--workers", "2"]
    for words in (train, predict):
        subprocess.run([sys.executable, "program.py", *words], cwd=tmp_path, check=True, timeout=300)


class NoDoubles(TorchDispatchMode):
    """A device without fp64, as MPS is one."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **kwargs or {})
        for each in found if isinstance(found, tuple | list) else (found,):
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64:
                raise TypeError(f"{func} makes fp64")
        return found


@pytest.fixture
def no_doubles(monkeypatch: pytest.MonkeyPatch) -> NoDoubles:
    """As on a Mac: code that asks for the kind of the device is answered mps."""
    monkeypatch.setattr(ball, "sum_dtype", lambda images: ball.wide_dtype(images))
    return NoDoubles()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_need_no_fp64(norm: str, no_doubles: NoDoubles) -> None:
    model = create_model("advprop_convnet")
    images, labels = torch.rand(2, 1, 8, 8), torch.tensor([1, 2])
    with no_doubles:
        PGD(eps=0.5, step_size=0.2, steps=2, norm=norm)(model, images, labels)
        PGD(eps=0.5, step_size=0.2, steps=1, norm=norm, targeted="least_likely")(model, images, labels)


@pytest.mark.parametrize("kind", sorted({*CORRUPTIONS} - {"shot_noise"}))  # its table is made on the CPU
def test_corruptions_need_no_fp64(kind: str, no_doubles: NoDoubles) -> None:
    images = torch.rand(2, 3, 32, 32)
    with no_doubles:
        corrupt(images, kind, severity=3)


@pytest.mark.parametrize("method", ["advprop", "fine-grained", "fast", "adversarial", "standard"])
def test_training_needs_no_fp64(method: str, no_doubles: NoDoubles) -> None:
    more = {"mixup": 0.2, "cutmix": 0.2} if method in ("standard", "advprop") else {}
    recipe = make_recipe(method=method, shift=1, flip=0.5, erase=0.5, ema=0.9, clip_grad=1.0, **more)
    loop = Loop(recipe, World(torch.device("cpu")))
    assert isinstance(loop.augment, Augment)
    images, labels = next(loop.train_batches.epoch(0))
    with no_doubles:
        loop.advance(images, labels)


def test_files_in_use_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, tries = Path.replace, []

    def in_use(self: Path, target: Path) -> Path:
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(13, "The process cannot access the file because another uses it")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", in_use)
    monkeypatch.setattr(files, "_PAUSES", (0.0, 0.0, 0.0))
    path = Checkpoints(directory=tmp_path).save({"step": 1}, step=1)
    assert (path.is_file(), len(tries)) == (True, 3)
    monkeypatch.setattr(files, "_PAUSES", ())
    tries.clear()
    with pytest.raises(OSError, match=r"cannot save a checkpoint .*because another uses it"):
        Checkpoints(directory=tmp_path).save({"step": 2}, step=2)


def test_paths_of_windows_are_paths() -> None:
    assert is_path(r"C:\runs\cat", PureWindowsPath)
    assert is_path(r"runs\cat", PureWindowsPath)
    assert not is_path("resnet18", PureWindowsPath)
    assert not is_path("hf-hub:timm/resnet18", PureWindowsPath)
    assert shell_word(r"C:\my runs\cat", windows=True) == r'"C:\my runs\cat"'


def test_folders_without_numbers_are_walked(digit_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = find_image_files(digit_folders).files
    stat = Path.stat

    def unnumbered(self: Path, **options: bool) -> os.stat_result:
        values = list(stat(self, **options))
        values[1] = 0
        return os.stat_result(values)

    monkeypatch.setattr(Path, "stat", unnumbered)
    assert find_image_files(digit_folders).files == expected
    assert len(np.unique(expected)) == len(expected) > 800
