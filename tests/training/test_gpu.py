"""Whole runs on a GPU: precision, compiled models, fused optimizers, what becomes of them on a CPU, NCCL."""

import math
import os
import signal
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from advprop import train
from advprop.cli.main import main
from advprop.inference.export import export_timm
from advprop.inference.load import load_model, load_run, trained
from advprop.recipes.recipe import make_recipe
from advprop.runs.checkpoints import load
from advprop.runs.directory import Run
from advprop.runtime import World
from advprop.training.loop import Loop
from tests.training.test_nonfinite import poison

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SMALL = make_recipe(
    train_images=40, batch_size=20, epochs=3, severities=(), device="cuda", ema=0.9, warmup_epochs=0, lr=0.01
)
FAST = {"precision": "bf16", "channels_last": True, "compile": True, "opt": "adamw", "fused": True}


def small(**changes):
    return make_recipe(vars(SMALL), **changes)


def losses(run):
    return [line["loss"] for line in run.metrics() if "loss" in line]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run in fp32, without anything that makes it faster."""
    return train(small(opt="adamw"), tmp_path_factory.mktemp("runs") / "plain").run


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # compilers warn of what they are not asked to do
def test_a_fast_run_is_stopped_resumed_and_then_used_on_a_cpu(plain, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    (tmp_path / "recipe.yaml").write_text(small(**FAST).to_yaml())
    words = ["train", "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out)]
    advance = Loop.advance

    def told(loop, images, labels):
        advance(loop, images, labels)
        if loop.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "advance", told)
        assert main(words) == 128 + signal.SIGTERM
    run = Run(out)
    state = run.checkpoints.latest()
    assert state["step"] == 3
    assert state["optimizer"]["param_groups"][0]["fused"]
    assert not [name for name in state["model"] if "_orig_mod" in name]
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert [line["step"] for line in run.metrics() if "loss" in line] == [2, 4, 6]
    assert losses(run) == pytest.approx(losses(plain), rel=0.1)

    capsys.readouterr()
    assert main(["evaluate", str(out), "--severities", "--device", "cpu"]) == 0
    top1 = float(capsys.readouterr().out.split()[1]) / 100
    assert top1 == pytest.approx(run.results()["clean"]["top1"], abs=0.01)
    again = load_model(export_timm(load_run(out), tmp_path / "exported"))
    with trained(out, "cpu") as (model, batches), torch.no_grad():
        images, _ = next(iter(batches))
        torch.testing.assert_close(again(images), model(images), rtol=1e-4, atol=1e-4)
    assert main(["export", str(out)]) == 0


@pytest.mark.parametrize("fused", [False, True])
def test_fp16_skips_a_step_that_is_too_large_and_trains_like_fp32(fused, plain, tmp_path):
    recipe = small(precision="fp16", opt="adamw", fused=fused, clip_grad=100.0)
    run = train(recipe, tmp_path / "run").run
    assert losses(run) == pytest.approx(losses(plain), rel=0.1)
    assert run.checkpoints.latest()["scaler"]["scale"] > 1

    loop = Loop(recipe, World(torch.device("cuda")))
    loop.scaler.load_state_dict(loop.scaler.state_dict() | {"scale": 2.0**100})
    model = loop.task.trainable_module
    before = [p.detach().clone() for p in model.parameters()]
    batch = next(loop.train_batches.epoch(0))
    loop.advance(*batch)
    assert all(map(torch.equal, before, model.parameters()))
    assert loop.scaler.get_scale() == 2.0**99
    loop.scaler.update(1024.0)
    loop.advance(*batch)
    assert not all(map(torch.equal, before, model.parameters()))
    assert loop.is_sound()


def test_tf32_is_used_where_the_recipe_says_so(tmp_path, monkeypatch):
    error = {}

    def look(loop, images, labels):
        a, b = torch.rand(2, 512, 512, dtype=torch.float64, device="cuda")
        error[loop.recipe.tf32] = float((a.float() @ b.float() - a @ b).abs().max())
        raise MemoryError

    monkeypatch.setattr(Loop, "advance", look)
    for tf32 in (False, True):
        with pytest.raises(MemoryError):
            train(small(tf32=tf32), tmp_path / str(tf32))
    assert error[True] > 1e-3
    assert error[True] > 10 * error[False]


@pytest.mark.parametrize("times", [1, math.inf])
def test_a_loss_that_is_no_number_goes_back_to_the_checkpoint(times, tmp_path, monkeypatch, caplog):
    poison(monkeypatch, times=times)
    recipe = small(batch_size=10, log_every=50)  # the step that is spoilt is the third of the second epoch
    if times == 1:
        assert train(recipe, tmp_path / "run").run.metrics()[-1]["step"] == 12
    else:
        with pytest.raises(FloatingPointError, match=r"the loss is nan in step 7 \(epoch 2, batch 3\)"):
            train(recipe, tmp_path / "run")
        (kept,) = (tmp_path / "run" / "stopped").iterdir()
        assert load(kept)["step"] == 6
        assert all(torch.isfinite(value).all() for value in load(kept)["model"].values())
    assert "no number by step 8; watching each step from 5 on" in caplog.text


def test_one_process_of_torchrun_trains(plain, root, tmp_path):
    (tmp_path / "recipe.yaml").write_text(small(opt="adamw").to_yaml())
    job = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    words = ["-m", "advprop", "train", "--recipe", str(tmp_path / "recipe.yaml"), "--out"]
    done = subprocess.run(
        [*job, *words, str(tmp_path / "run")], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert losses(Run(tmp_path / "run")) == pytest.approx(losses(plain), rel=1e-2)


def test_nccl_passes_on_what_ranks_share(tmp_path):
    """NCCL wants a GPU for each rank, so this is the first of two ranks, in a group without the second."""
    recipe = small(lr=0.1, eps=1e-4)  # so little that it does not matter which way a pixel moves
    alone = Loop(make_recipe(vars(recipe), batch_size=10, train_images=20), World(torch.device("cuda", 0)))
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        world = World(torch.device("cuda", 0), rank=0, ranks=2)
        first = Loop(recipe, world)
        assert isinstance(first.task.trainable_module, DistributedDataParallel)
        for images, labels in first.train_batches.epoch(0):
            assert len(images) == 10
            first.advance(images, labels)
            alone.advance(images, labels)
        assert max(world.gather(3)) == 3
        assert world.on_first(lambda: {"a": 1}) == {"a": 1}
        with pytest.raises(ValueError, match="told"):
            world.on_first(lambda: int("told"))
        assert first.losses.mean()["loss"] == pytest.approx(alone.losses.mean()["loss"] / 2, rel=1e-3)
        ours, theirs = first.state(), alone.state()
    finally:
        dist.destroy_process_group()
    for part in ("model", "ema"):
        assert ours[part].keys() == theirs[part].keys()
        for name, value in theirs[part].items():
            torch.testing.assert_close(ours[part][name], value, rtol=1e-3, atol=1e-4)
