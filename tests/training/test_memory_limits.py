"""Whole processes that have no memory left: at a limit of the system, and one rank of two."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from advprop.runs.directory import Run
from tests.training.test_out_of_memory import TRAIN

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


_LIMITED = """
import resource, sys
from advprop import train  # all that is imported on the way counts before the limit
from advprop.cli.main import main
from advprop.recipes import make_recipe
import advprop.inference, advprop.training, timm

timm.create_model("resnet18")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 2**20,) * 2)
sys.exit(main(sys.argv[2:]))
"""


def limited(mib, *words):
    """The command line in a process that may take so much memory more than it has from the start."""
    words = [sys.executable, "-c", _LIMITED, str(mib), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1] if done.stderr else ""


@pytest.fixture
def many_tests():
    """A folder with 8 pictures to train on, and 200 to test on."""
    for split, count in (("train", 4), ("validation", 100)):
        for shade, name in ((0, "black"), (255, "white")):
            folder = Path("data", split, name)
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (8, 8), shade).save(folder / f"{number}.png")
    return "data"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")
def test_at_a_limit_of_memory_a_run_is_kept_and_resumed(many_tests):
    size = ["--model", "resnet18", "--image-size", "128", "--threads", "1", "--epochs", "1", "--workers", "0"]
    words = ["train", "--data", many_tests, "--method", "standard", *size, "--lr", "0.01", "--device", "cpu"]
    code, told = limited(500, *words, "--batch-size", "4", "--test-batch-size", "200", "--out", "run")
    assert (code, "lower --test-batch-size (now 200)" in told) == (1, True), told
    assert limited(500, "train", "--resume", "--out", "run", "--test-batch-size", "8")[0] == 0
    assert Run(Path("run")).results()["clean"]["n"] == 200
    assert limited(500, *words, "--batch-size", "4", "--out", "follows")[0] == 0
    code, told = limited(500, "evaluate", "run", "--severities", "--test-batch-size", "200")
    assert (code, told.endswith("lower --test-batch-size (now 200)")) == (1, True), told


_ONE_RANK = """
import os, sys
import torch
from advprop.cli.main import main
from advprop.training.loop import Loop

test = Loop.model

def model(loop):
    if os.environ["RANK"] == "1":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return test(loop)

Loop.model = model
sys.exit(main(sys.argv[1:]))
"""


def test_a_rank_without_memory_tells_it_and_the_others_end(tmp_path):
    Path("limited.py").write_text(_ONE_RANK)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = ["--nproc-per-node", "2", "limited.py", *TRAIN, "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 1
    assert "/advprop/" not in done.stderr  # torchrun's own traceback aside
    [told] = [line for line in done.stderr.splitlines() if "out of memory" in line]
    assert told.startswith(
        "advprop, rank 1: error: out of memory in a test (tried to allocate 2.00 GiB): lower"
    )
    state = Run(Path("a run")).checkpoints.latest()
    assert (state["step"], state["untested"]) == (2, True)
