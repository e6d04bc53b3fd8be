"""An epoch is saved before it is tested: a run that ends in the test, or anywhere else, loses nothing."""

import subprocess
import sys

import pytest
import torch

from advprop import train
from advprop.recipes.recipe import make_recipe
from advprop.runs.checkpoints import load
from advprop.runs.directory import Run
from advprop.training import trainer as trainers
from advprop.training.loop import Loop
from tests.training.records import equal, of_step, records

# Two steps an epoch; the accuracy rises and falls, so that the best checkpoint is not the last.
SMALL = make_recipe(
    {"train_images": 40, "batch_size": 20, "epochs": 4, "test_every": 1, "log_every": 1, "keep": 1},
    {"method": "standard", "severities": (), "lr": 2.0, "warmup_epochs": 0, "sched": "none"},
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(SMALL, tmp_path_factory.mktemp("runs") / "whole").run


def end_in_test(monkeypatch, number, error=MemoryError):
    """Lets the run end in its test of this number, from 1 on."""
    test, seen = Loop.test, []

    def ending(loop):
        seen.append(loop.step)
        if len(seen) == number:
            raise error
        return test(loop)

    monkeypatch.setattr(Loop, "test", ending)


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_test_that_ends_the_run_is_made_up_for(number, whole, tmp_path, monkeypatch):
    end_in_test(monkeypatch, number)
    with pytest.raises(MemoryError):
        train(SMALL, tmp_path / "run")
    monkeypatch.undo()
    state = Run(tmp_path / "run").checkpoints.latest()
    assert (state["step"], state["untested"]) == (2 * number, True)
    advance, taken = Loop.advance, []
    monkeypatch.setattr(
        Loop, "advance", lambda loop, *batch: (taken.append(loop.step), advance(loop, *batch))
    )
    resumed = train(SMALL, tmp_path / "run", resume=True).run
    assert taken == list(range(2 * number, 8))  # no step of the epoch is taken again
    assert equal(records(resumed), records(whole))


def test_the_best_is_kept_through_tests_that_end_the_run(whole, tmp_path, monkeypatch):
    tested = [line["test_top1_percent"] for line in whole.metrics() if "test_loss" in line]
    best = whole.checkpoints.latest()["best"]
    assert best["step"] == 2 + 2 * tested.index(max(tested)) < 8
    for _ in range(3):  # each start ends in its second test, so that each test but one is made up for
        with monkeypatch.context() as patch:
            end_in_test(patch, 2)
            with pytest.raises(MemoryError):
                train(SMALL, tmp_path / "run", resume=True)
    run = train(SMALL, tmp_path / "run", resume=True).run
    assert equal(records(run), records(whole))
    assert not of_step(run, best["step"])["untested"]


def test_each_state_is_saved_once_and_a_tested_one_twice(tmp_path, monkeypatch):
    saved = []
    save = trainers.Trainer.save

    def counted(trainer):
        before = trainer.saved
        save(trainer)
        saved.extend([trainer.saved] * (trainer.saved != before))

    monkeypatch.setattr(trainers.Trainer, "save", counted)
    train(make_recipe(vars(SMALL), test_every=2, save_every=1), tmp_path / "run")
    first, second = ([(step, True), (step, False)] for step in (4, 8))
    assert saved == [
        *((step, False) for step in range(4)),
        *first,
        (5, False),
        (6, False),
        (7, False),
        *second,
    ]


def test_a_checkpoint_of_before_tests_could_be_pending_is_taken(whole, tmp_path):
    run = train(make_recipe(vars(SMALL), epochs=2), tmp_path / "run").run
    state = {name: value for name, value in run.checkpoints.latest().items() if name != "untested"}
    run.checkpoints.save(state, state["step"])
    lines = run.metrics()
    train(run.recipe, run.directory, resume=True)
    assert run.metrics() == lines


# Kills a run at one place after the other: before and after each file that is put in its place or deleted,
# each record, each step and each test. Then lets it go on to its end.
_EVERYWHERE = """
import os, pathlib, shutil, signal, sys
import torch
from advprop import train
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run
from advprop.runs.metrics import Journal
from advprop.training.loop import Loop

torch.set_num_threads(1)
root, recipe, first, stride = pathlib.Path(sys.argv[1]), make_recipe(sys.argv[2]), *map(int, sys.argv[3:])
PLACES = [(pathlib.Path, "replace"), (pathlib.Path, "unlink"), (Journal, "record")]
PLACES += [(Loop, "advance"), (Loop, "test")]


def kill_at(number):
    left = [number]

    def count():
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in PLACES:
        def counted(*args, real=getattr(owner, name), **more):
            count()
            result = real(*args, **more)
            count()
            return result
        setattr(owner, name, counted)


def start(out, number=None):
    if not (child := os.fork()):
        if number is not None:
            kill_at(number)
        train(recipe, out, resume=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


train(recipe, root / "first")  # what is imported on the way need not be imported by each child
shutil.rmtree(root / "first")
number, code = first, -signal.SIGKILL
while code:
    out = root / str(number)
    code = start(out, number)
    assert code in (0, -signal.SIGKILL), code
    assert start(out) == 0
    number += stride
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "stride"), [(5, 45), *(pytest.param(n, 5, marks=pytest.mark.nightly) for n in range(1, 6))]
)
def test_killed_anywhere_a_run_ends_as_the_whole_one(first, stride, tmp_path):
    recipe = make_recipe(vars(SMALL), save_every=1, ema=0.5)
    whole = train(recipe, tmp_path / "whole").run
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    (tmp_path / "killed").mkdir()
    words = [str(tmp_path / "killed"), str(tmp_path / "recipe.yaml"), str(first), str(stride)]
    done = subprocess.run([sys.executable, "-c", _EVERYWHERE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    killed = sorted((tmp_path / "killed").iterdir(), key=lambda path: int(path.name))
    assert len(killed) > 100 // stride
    for directory in killed:
        assert equal(records(Run(directory)), records(whole)), f"killed at {directory.name}"


def test_of_two_files_of_a_step_the_later_counts_and_the_next_save_leaves_none(whole, tmp_path):
    run = train(make_recipe(vars(SMALL), epochs=1), tmp_path / "run").run
    [tested] = run.checkpoints.paths()
    state = load(tested)
    content = tested.read_bytes()
    run.checkpoints.save(state | {"untested": True}, state["step"])
    tested.write_bytes(content)  # as if the process had ended before it deleted the earlier one
    assert len(run.checkpoints.paths()) == 2
    assert run.checkpoints.latest()["untested"] is False
    assert run.checkpoints.paths()[-1] == tested
    run.checkpoints.save(state | {"step": 3}, 3, protect={state["step"]})
    assert [load(path)["step"] for path in run.checkpoints.paths()] == [state["step"], 3]
    assert torch.equal(load(tested)["model"]["head.weight"], state["model"]["head.weight"])
