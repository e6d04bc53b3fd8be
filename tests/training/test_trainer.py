import json
import os
import random
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advprop import train
from advprop.attacks.pgd import PGD
from advprop.data.batches import Batches, digits
from advprop.evaluation.evaluator import evaluate
from advprop.inference.load import trained
from advprop.models import create_model
from advprop.recipes.recipe import make_recipe
from advprop.runs.checkpoints import CheckpointError
from advprop.runs.directory import Run
from advprop.runs.metrics import Journal
from advprop.runtime import Interrupted, seed_all
from advprop.tasks import AdvPropTask
from advprop.training.loop import Loop
from tests.training.records import equal, records

SMALL = make_recipe(train_images=40, batch_size=10, epochs=3, severities=(), test_every=1)


def small(**changes):
    return make_recipe(vars(SMALL), **changes)


def weights(run):
    return run.checkpoints.latest()["model"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return train(SMALL, tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_is_what_a_plain_loop_does(outcome):
    recipe = outcome.recipe
    seed_all(recipe.seed, 0, 0)
    task = AdvPropTask(
        create_model("advprop_convnet"), PGD(eps=0.2, steps=3, step_size=0.1, targeted="random")
    )
    decayed = [p for p in task.parameters() if p.ndim > 1]
    others = [p for p in task.parameters() if p.ndim == 1]
    groups = [{"params": others}, {"params": decayed, "weight_decay": recipe.weight_decay}]
    optimizer = torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=True)
    batches = Batches(digits(40, recipe.seed).train, 10, recipe.seed)
    task.train()
    for step in range(12):
        warmup, total = 5 * 4, 3 * 4
        assert step < total < warmup
        for group in optimizer.param_groups:
            group["lr"] = recipe.warmup_lr + step * (recipe.lr - recipe.warmup_lr) / warmup
        images, labels = next(batches.epoch(*divmod(step, 4)))
        seed_all(recipe.seed, 0, step + 1)
        optimizer.zero_grad()
        task(images, labels)["loss"].backward()
        optimizer.step()
    found = weights(outcome.run)
    for name, value in task.trainable_module.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_the_directory_of_a_run_tells_all(outcome):
    run = outcome.run
    assert run.recipe == SMALL
    metrics = run.metrics()
    losses = [line for line in metrics if "loss" in line]
    tests = [line for line in metrics if "test_loss" in line]
    assert [line["step"] for line in losses] == [line["step"] for line in tests] == [4, 8, 12]
    assert losses[-1].keys() == {
        *("step", "epoch", "loss", "loss_clean", "loss_adv", "lr", "images_per_second", "seconds")
    }
    for line in losses:
        assert line["loss"] == pytest.approx(line["loss_clean"] + line["loss_adv"])
        assert line["epoch"] == line["step"] / 4
    assert losses[-1]["loss"] < losses[0]["loss"]
    assert tests[-1]["test_top1_percent"] == 100 * outcome.clean.top1
    assert run.results()["clean"]["n"] == outcome.clean.n == 1757
    with trained(run.directory) as (model, batches):
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches)
    assert right / 1757 == outcome.clean.top1


@pytest.mark.parametrize("method", ["standard", "adversarial", "fast"])
def test_every_method_trains(method, tmp_path):
    attack = {"steps": 1, "target": "none", "share": 0.5} if method == "fast" else {}
    done = train(small(method=method, epochs=8, severities=(1,), **attack), tmp_path / "run")
    assert done.clean.top1 > 0.4
    assert done.corrupted.keys() > {"fog", "snow"}
    names = {name for name in done.run.metrics()[0] if name.startswith("loss")}
    parts = {"standard": {"loss_clean"}, "adversarial": {"loss_clean", "loss_adv"}}
    assert names == {"loss"} | parts.get(method, {"loss_clean", "loss_adv", "loss_noise"})


def test_a_run_is_repeated_by_its_recipe_and_not_by_another_seed(outcome, tmp_path):
    again = train(make_recipe(outcome.run.directory / "recipe.yaml"), tmp_path / "again")
    assert same(weights(again.run), weights(outcome.run))
    other = train(small(seed=1), tmp_path / "other")
    assert not same(weights(other.run), weights(outcome.run))


def test_the_caller_keeps_its_random_state_and_threads(tmp_path):
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(small(epochs=1), tmp_path / "run")
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", [1, 6, 8])
def test_a_signal_saves_and_the_resumed_run_ends_as_the_whole_one(number, at, outcome, tmp_path, monkeypatch):
    advance = Loop.advance

    def told(loop, images, labels):
        advance(loop, images, labels)
        if loop.step == at:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Loop, "advance", told)
    with pytest.raises(
        Interrupted, match=rf"stopped by {number.name}; --resume --out {tmp_path}/run goes on"
    ) as stop:
        train(SMALL, tmp_path / "run")
    assert stop.value.number == number
    assert Run(tmp_path / "run").checkpoints.latest()["step"] == at
    monkeypatch.undo()
    resumed = train(SMALL, tmp_path / "run", resume=True)
    assert same(weights(resumed.run), weights(outcome.run))
    assert resumed.clean == outcome.clean

    def steady(run):
        drop = ("seconds", "images_per_second")
        return [{k: v for k, v in line.items() if k not in drop} for line in run.metrics()]

    assert steady(resumed.run) == steady(outcome.run)


def test_fault_of_a_learning_rate_that_begins_anew_when_a_run_is_resumed(outcome, tmp_path, monkeypatch):
    advance, rates = Loop.advance, []

    def stopped(loop, images, labels):
        if loop.step == 6:
            raise KeyboardInterrupt
        advance(loop, images, labels)

    def noted(loop, images, labels):
        advance(loop, images, labels)
        rates.append(loop.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(Loop, "advance", noted)
    train(SMALL, tmp_path / "whole")
    whole, rates[:] = rates[:], []
    monkeypatch.setattr(Loop, "advance", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, tmp_path / "run")
    monkeypatch.setattr(Loop, "advance", noted)
    train(SMALL, tmp_path / "run", resume=True)
    assert len(set(whole)) == 12
    assert rates == whole[-len(rates) :]
    assert 0 < len(rates) < 12


def test_ctrl_c_that_torchrun_passes_on_counts_once_and_a_second_one_ends_it(tmp_path, monkeypatch):
    advance = Loop.advance

    def told(loop, images, labels):
        advance(loop, images, labels)
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Loop, "advance", told)
    with pytest.raises(Interrupted, match="stopped by SIGINT; --resume --out") as stop:
        train(SMALL, tmp_path / "run")
    assert (stop.value.number, Run(tmp_path / "run").checkpoints.latest()["step"]) == (signal.SIGINT, 1)
    monkeypatch.setattr("advprop.runtime.signals._AGAIN", -1.0)
    with pytest.raises(Interrupted, match=r"^stopped by SIGINT$"):
        train(SMALL, tmp_path / "run", resume=True)
    assert Run(tmp_path / "run").checkpoints.latest()["step"] == 1


@pytest.mark.parametrize("place", ["open_data", "evaluate_answers"])
def test_a_signal_ends_at_once_what_is_no_training(place, tmp_path, monkeypatch):
    def told(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")

    train(SMALL, tmp_path / "run")
    monkeypatch.setattr(f"advprop.training.loop.{place}", told)
    with pytest.raises(Interrupted, match=r"^stopped by SIGTERM$"):
        train(SMALL, tmp_path / "run", resume=True)


def test_a_finished_run_is_not_trained_again_and_needs_no_room(outcome, monkeypatch):
    monkeypatch.setattr(Loop, "advance", None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    assert train(SMALL, outcome.run.directory, resume=True).clean == outcome.clean


_KILLED = """
import os, pathlib, random, signal, sys, time
import torch
from advprop.runs import checkpoints as checkpoint
from advprop.recipes.recipe import make_recipe
from advprop import train

out, recipe, kills = pathlib.Path(sys.argv[1]), make_recipe(sys.argv[2]), int(sys.argv[3])
chance = random.Random(0)
fsync = os.fsync
done = 0
while done < kills or os.waitstatus_to_exitcode(status):
    if not (child := os.fork()):
        checkpoint.os.fsync = lambda handle: (time.sleep(0.01), fsync(handle))  # more time spent in saves
        train(recipe, out, resume=True)
        os._exit(0)
    if done < kills:
        time.sleep(chance.uniform(0, 0.6))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    done += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    if not os.waitstatus_to_exitcode(status):
        break
print(done)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.nightly)])
def test_kills_at_random_moments_change_nothing(kills, tmp_path):
    recipe = small(epochs=2 * kills, save_every=1, test_every=2)
    whole = train(recipe, tmp_path / "whole")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    words = [str(tmp_path / "killed"), str(tmp_path / "recipe.yaml"), str(kills)]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == kills
    assert equal(records(Run(tmp_path / "killed")), records(whole.run))


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(outcome, tmp_path, caplog):
    run = train(SMALL, tmp_path / "run").run
    last = run.checkpoints.paths()[-1]
    last.write_bytes(last.read_bytes()[:-50])
    resumed = train(SMALL, tmp_path / "run", resume=True)
    assert last.name in caplog.text
    assert same(weights(resumed.run), weights(outcome.run))


def test_a_directory_that_is_taken_is_refused(outcome):
    with pytest.raises(ValueError, match=r"there is a run in .*whole already; go on with it \(--resume\)"):
        train(SMALL, outcome.run.directory)
    with pytest.raises(ValueError, match=r"another recipe \(lr: 0.1, now 0.2, seed: 0, now 7\)"):
        train(small(seed=7, lr=0.2), outcome.run.directory, resume=True)
    with (
        pytest.raises(ValueError, match="is not the directory of a run"),
        trained(outcome.run.directory.parent),
    ):
        pass


def test_what_changes_no_result_may_change(outcome, tmp_path):
    run = train(SMALL, tmp_path / "run").run
    changed = small(workers=1, keep=3, data_dir="elsewhere", download=True)
    assert train(changed, run.directory, resume=True).clean == outcome.clean


def test_without_a_directory_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = small(epochs=1)
    first, second = (train(short).run.directory for _ in range(2))
    assert [str(path) for path in (first, second)] == ["runs/digits-advprop", "runs/digits-advprop-2"]
    other = train(small(epochs=1, seed=1)).run.directory
    assert train(short, resume=True).run.directory == second
    assert train(small(epochs=1, seed=2), resume=True).run.directory not in (first, second, other)


def test_a_directory_that_cannot_be_written_to_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(Loop, "advance", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot write .*file.run: Not a directory"):
        train(SMALL, tmp_path / "file" / "run")


def test_a_disk_that_is_too_small_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(Loop, "advance", None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(CheckpointError, match=r"the checkpoints in .*run.checkpoints will take"):
        train(SMALL, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 50}, "got 50 for 40"),
        ({"device": "tpu"}, "no device 'tpu' here; 'auto' would take"),
        ({"data": "nowhere"}, "no data 'nowhere'"),
        ({"model": "advprop_convnt"}, "did you mean advprop_convnet"),
        ({"model": "test_convnext"}, "no norm layer of the kind"),
        ({"opt": "sgdd"}, r"the optimizer 'sgdd' cannot be made: .*; did you mean sgd or"),
        ({"opt": "adamw", "opt_args": {"speed": 3}}, r"'adamw' cannot be made: [^;]*$"),
        ({"opt_args": {"speed": 3}}, "the optimizer 'sgd' cannot be made: .*speed"),
        ({"sched": "cosin"}, "there is no schedule 'cosin'; did you mean cosine?"),
        ({"sched": "plateau"}, "there is no schedule 'plateau'; there are cosine, .*, none"),
        ({"sched": "wsd"}, "wsd schedule requires 0 < decay_epochs"),
        ({"method": "fast", "steps": 2}, "one step away from the label .* got --steps 2 --target random"),
    ],
)
def test_an_impossible_recipe_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(small(**changes), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_of_gpus_is_read_on_a_cpu(tmp_path):
    done = train(small(epochs=1), tmp_path / "run")
    of_gpus = {"device": "cuda", "sync_batch_norm": True, "compile": True, "tf32": True}
    done.run.recipe_file.write_text(small(epochs=1, **of_gpus).to_yaml())
    with trained(tmp_path / "run", "cpu") as (model, batches):
        assert evaluate(model, batches) == done.clean


def test_metrics_that_were_cut_off_are_left_out(outcome, tmp_path):
    run = Run(tmp_path)
    text = (outcome.run.directory / "metrics.jsonl").read_text()
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 13, "lo')
    assert run.metrics() == outcome.run.metrics()
    Journal(run, outcome.recipe).begin(4)
    assert {line["step"] for line in run.metrics()} == {4}
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["step"] == 4
