"""Training on several ranks, on the CPU by gloo."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from advprop import train
from advprop.evaluation import evaluate_answers
from advprop.inference.load import trained
from advprop.recipes.recipe import make_recipe
from advprop.runs import Report
from advprop.runs.directory import Run
from tests.training.records import equal, records

SMALL = make_recipe(train_images=40, batch_size=20, epochs=4, severities=(), device="cpu", save_every=1)

# Forks ranks of a process that has imported everything; kills one of them, starts anew. Kills are spread over
# the run: each waits for some more checkpoints, and then for a moment, which may be in the middle of a save.
_RANKS = """
import os, pathlib, random, signal, socket, sys, time
import torch
from advprop.runs import checkpoints as checkpoint
from advprop.recipes.recipe import make_recipe
from advprop import train

out, recipe, ranks, kills = pathlib.Path(sys.argv[1]), make_recipe(sys.argv[2]), *map(int, sys.argv[3:])
torch.set_num_threads(1)
chance = random.Random(0)
done = 0
last = 2 * recipe.epochs


def saved():
    return max((int(path.name.split("-")[1]) for path in out.glob("checkpoints/step-*")), default=-1)


def start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(ranks):
        if not (child := os.fork()):
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }
            status = 1
            try:
                train(recipe, out, resume=True)
                status = 0
            except Exception as error:
                if not kills:
                    print(rank, error, file=sys.stderr)
            finally:
                os._exit(status)
        children.append(child)
    return children


while True:
    children = start()
    if done < kills:
        wanted = saved() + chance.randint(0, 4)
        while saved() < min(wanted, last):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(chance.choice(children), signal.SIGKILL)
        done += 1
        time.sleep(0.2)
        for child in children:
            os.kill(child, signal.SIGKILL)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if not any(codes) or done >= kills and -signal.SIGKILL not in codes:
        break
print(done)
sys.exit(max(map(abs, codes)))
"""


def run_ranks(recipe, out, ranks, kills=0):
    written = out.with_suffix(".yaml")
    written.write_text(recipe.to_yaml())
    words = [sys.executable, "-c", _RANKS, str(out), str(written), str(ranks), str(kills)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=900, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return Run(out), int(done.stdout)


def weights(run):
    return run.checkpoints.latest()["model"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_ranks(SMALL, tmp_path_factory.mktemp("ranks") / "whole", 2)[0]


def test_two_ranks_train_one_model(whole):
    lines = whole.metrics()
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6, 8]
    assert whole.results()["clean"]["n"] == 1757  # every test image once
    assert whole.results()["clean"]["top1"] == lines[-1]["test_top1_percent"] / 100


def test_ranks_report_each_wrong_image_once(whole):
    with trained(whole.directory, "cpu") as (model, batches):
        report = Report.of(evaluate_answers(model, batches), batches, str)
    with (whole.directory / "wrong.csv").open(newline="") as file:
        found = [(row["image"], row["label"], row["answer"]) for row in csv.DictReader(file)]
    assert len(found) == round(1757 * (1 - whole.results()["clean"]["top1"])) > 10
    assert sorted(found) == sorted(each[:3] for each in report.wrong)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.nightly)])
def test_kills_of_a_rank_at_random_moments_change_nothing(kills, tmp_path):
    recipe = make_recipe(vars(SMALL), epochs=4 * kills, test_every=2, ema=0.9, mixup=0.2)
    whole, _ = run_ranks(recipe, tmp_path / "whole", 2)
    killed, done = run_ranks(recipe, tmp_path / "killed", 2, kills=kills)
    assert done == kills
    assert equal(records(killed), records(whole))


def test_ranks_take_the_steps_of_one_where_norms_do_not_tell_them_apart(tmp_path):
    parts = tuple(f"stages.{stage}.bn" for stage in range(3))
    recipe = make_recipe(vars(SMALL), method="standard", freeze=parts, epochs=3)
    two, _ = run_ranks(recipe, tmp_path / "two", 2)
    one = train(recipe, tmp_path / "one").run
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(two.metrics(), one.metrics(), strict=True):
        for name in ours.keys() - {"seconds", "images_per_second"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4)


def test_a_batch_that_ranks_cannot_split_is_told_with_the_numbers(tmp_path):
    recipe = make_recipe(vars(SMALL), batch_size=21)
    with pytest.raises(
        AssertionError,
        match=r"batch of 21 cannot be split into 2 equal parts \(ranks: 2, .*; --batch-size 20 could",
    ):
        run_ranks(recipe, tmp_path / "run", 2)
    recipe = make_recipe(vars(SMALL), batch_size=20, accumulate=3)
    with pytest.raises(
        ValueError,
        match=r"batch of 20 cannot be split into 3 equal parts \(ranks: 1, --accumulate 3\); --batch-size 21",
    ):
        train(recipe, tmp_path / "run")


def torchrun(folder, *words):
    """A job of two ranks that has begun to train."""
    job = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    while not has_tested(Run(folder / "run")):
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.2)
    return job


def from_folder(folder):
    """A long recipe whose images are read by a process of each rank."""
    small = {"data": str(folder), "channels": 1, "image_size": 10, "model": "advprop_convnet", "workers": 1}
    return make_recipe(small, batch_size=20, epochs=3000, log_every=1, warmup_epochs=0, steps=1, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("to_all", "of_files"), [(False, True), (True, True), (True, False)])
def test_a_signal_to_torchrun_or_to_all_saves_the_step_where_it_came(
    to_all, of_files, digit_folders, tmp_path
):
    recipe = make_recipe(vars(SMALL), epochs=3000, train_images=200, log_every=1, save_every=None)
    if of_files:
        recipe = from_folder(digit_folders)
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    job = torchrun(tmp_path, "-m", "advprop", "train", "--recipe", "recipe.yaml", "--out", "run")
    if to_all:
        os.killpg(job.pid, signal.SIGINT)  # as a terminal does, and torchrun passes it on once more
    else:
        job.send_signal(signal.SIGTERM)
    told = job.communicate(timeout=200)[1]
    run = Run(tmp_path / "run")
    name = "SIGINT" if to_all else "SIGTERM"
    assert f"advprop: stopped by {name}; --resume --out run goes on" in told
    assert "DataLoader" not in told
    assert run.checkpoints.latest()["step"] == run.metrics()[-1]["step"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_processes_that_read_is_survived_or_told(number, digit_folders, tmp_path):
    (tmp_path / "recipe.yaml").write_text(from_folder(digit_folders).to_yaml())
    words = [sys.executable, "-m", "advprop", "train", "--recipe", "recipe.yaml", "--out", "run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    job = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment)
    run = Run(tmp_path / "run")
    while not has_tested(run):
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.2)
    for reader in children(job.pid):
        os.kill(reader, number)
    if number == signal.SIGTERM:
        seen = len(run.metrics())
        while len(run.metrics()) < seen + 20:
            assert job.poll() is None, job.communicate()[1]
            time.sleep(0.1)
        job.send_signal(signal.SIGTERM)
    told = job.communicate(timeout=100)[1]
    assert "Traceback" not in told
    if number == signal.SIGTERM:
        assert job.returncode == 128 + signal.SIGTERM
        assert run.checkpoints.latest()["step"] == run.metrics()[-1]["step"]
    else:
        assert job.returncode == 1
        assert "a process that reads images has ended" in told
        assert "fewer processes (--workers) need less" in told.splitlines()[-1]


def has_tested(run):
    """Whether all is under way: also the processes that read test images, which start after an epoch."""
    return any("test_top1_percent" in line for line in run.metrics())


def children(parent):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(pid) for pid in listed.stdout.split()]


@pytest.mark.slow
@pytest.mark.nightly
def test_torchrun_starts_a_killed_rank_again_and_goes_on(whole, tmp_path):
    (tmp_path / "recipe.yaml").write_text(make_recipe(vars(SMALL), epochs=150, log_every=10).to_yaml())
    words = ["--max-restarts", "1", "-m", "advprop", "train", "--recipe", "recipe.yaml", "--out", "run"]
    job = torchrun(tmp_path, *words)
    run = Run(tmp_path / "run")
    os.kill(children(job.pid)[-1], signal.SIGKILL)
    killed_at = run.metrics()[-1]["step"]
    shown, told = job.communicate(timeout=200)
    assert job.returncode == 0, told
    assert "Traceback" not in told.split("Sending process")[0]
    assert killed_at < run.metrics()[-1]["step"] == 300
    steps = [line["step"] for line in run.metrics() if "loss" in line]
    assert steps == sorted(set(steps))
    assert shown.splitlines()[0] == "method   clean  95 % interval"
