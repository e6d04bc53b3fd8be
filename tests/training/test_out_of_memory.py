"""A run that has no memory left says in one line what to lower, and is kept."""

from pathlib import Path

import pytest
import torch

from advprop import train
from advprop.cli.main import main
from advprop.models import create_model
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run
from advprop.runtime import World
from advprop.runtime.memory import OutOfMemory
from advprop.training.build import build_model
from advprop.training.loop import Loop
from advprop.training.preflight import check_size, optimizer_bytes
from tests.training.records import equal, records

SETTINGS = {"train_images": 40, "batch_size": 20, "epochs": 3, "test_every": 1, "severities": ()}
SMALL = make_recipe(SETTINGS, method="standard")
WORDS = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items() if value != ()]
TRAIN = ["train", "--method", "standard", "--severities", *WORDS, "--out", "a run"]

REPORTS = {
    "cuda": torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has\na total of 3 GiB"
    ),
    "cpu": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2 bytes."),
    "python": MemoryError(),
}


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fail_at(monkeypatch, owner, name, at, error):
    """Lets a method of loops end in an error once the loop has taken so many steps."""
    real = getattr(owner, name)

    def failing(loop, *args):
        if loop.step == at:
            raise error
        return real(loop, *args)

    monkeypatch.setattr(owner, name, failing)


def one_line(capsys):
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    [line] = [line for line in shown.splitlines() if line.startswith("advprop")]
    assert shown.endswith(f"{line}\n")
    return line


@pytest.mark.parametrize("kind", REPORTS)
def test_training_tells_the_options_and_keeps_the_run(kind, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        fail_at(patch, Loop, "backward", 3, REPORTS[kind])
        assert main(TRAIN) == 1
    told = one_line(capsys)
    assert told.startswith("advprop: error: out of memory in training")
    for words in (
        "--batch-size (now 20)",
        "--image-size (now 8)",
        "--accumulate (now 1)",
        "--precision bf16",
        "kept at step 2; with more memory, resume it: advprop train --resume --out 'a run'",
    ):
        assert words in told
    assert main(["train", "--resume", "--out", "a run"]) == 0
    assert equal(records(Run(Path("a run"))), records(train(SMALL, "whole").run))


def test_training_resumes_with_what_takes_less_memory_and_changes_no_result(monkeypatch, capsys):
    fail_at(monkeypatch, Loop, "backward", 1, MemoryError())
    of_advprop = [word.replace("standard", "advprop") for word in TRAIN]
    words = [*of_advprop, "--model", "test_resnet", "--image-size", "32"]
    assert main(words) == 1
    asked = "which is slower and changes no result: advprop train --resume --out 'a run'"
    told = one_line(capsys)
    assert f"{asked} --grad-checkpointing; or lower --batch-size" in told
    separate = "advprop train --resume --out 'a run' --separate-passes; or resume"
    assert f"changes no result but what dropout draws: {separate}" in told
    assert main([*words, "--out", "again", "--grad-checkpointing", "--separate-passes"]) == 1
    told = one_line(capsys)
    assert asked not in told
    assert "--separate-passes" not in told


@pytest.mark.parametrize("kind", REPORTS)
def test_a_test_tells_its_option_and_the_resume_that_lowers_it(kind, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        fail_at(patch, Loop, "model", 4, REPORTS[kind])
        assert main([*TRAIN, "--test-batch-size", "300"]) == 1
    told = one_line(capsys)
    assert "out of memory in a test" in told
    assert "lower --test-batch-size (now 300), which changes no result" in told
    assert told.endswith("advprop train --resume --out 'a run' --test-batch-size 150")
    state = Run(Path("a run")).checkpoints.latest()
    assert (state["step"], state["untested"]) == (4, True)
    assert main(["train", "--resume", "--out", "a run", "--test-batch-size", "150"]) == 0
    run = Run(Path("a run"))
    assert run.recipe.test_batch_size == 150
    whole = train(SMALL, "whole").run
    assert equal(run.checkpoints.latest()["model"], whole.checkpoints.latest()["model"])
    tests = [[line for line in each.metrics() if "test_loss" in line] for each in (run, whole)]
    for ours, theirs in zip(*tests, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_test_of_one_image_at_a_time_tells_what_else_is_left(monkeypatch):
    fail_at(monkeypatch, Loop, "model", 2, MemoryError())
    told = (
        r"^out of memory in a test: --test-batch-size is 1 already; lower --batch-size .*--resume --out run$"
    )
    with pytest.raises(OutOfMemory, match=told):
        train(make_recipe(vars(SMALL), test_batch_size=1), "run")


def test_the_last_test_tells_it_too(monkeypatch):
    run = train(SMALL, "run").run
    monkeypatch.setattr("advprop.training.run.evaluate_corruptions", None)
    fail_at(monkeypatch, Loop, "model", 6, MemoryError())
    with pytest.raises(OutOfMemory, match=r"in a test: lower --test-batch-size \(now 500\)"):
        train(SMALL, run.directory, resume=True)


def test_what_does_not_fit_at_all_leaves_nothing(monkeypatch, capsys):
    monkeypatch.setattr(
        "advprop.training.loop.build_task", lambda *args: (_ for _ in ()).throw(REPORTS["cuda"])
    )
    assert main(TRAIN) == 1
    told = one_line(capsys)
    assert "out of memory before the first step (tried to allocate 2.00 GiB): take a smaller --model" in told
    assert "--image-size" in told
    assert not Path("a run").exists()


def test_trials_take_it_for_nothing_else(monkeypatch):
    recipe = make_recipe(vars(SMALL), model="test_resnet")
    model = create_model("test_resnet", num_classes=3)

    def report(*args, **more):
        raise REPORTS["cpu"]

    for place, trial in {
        "torch.nn.Conv2d.forward": lambda: check_size(model, "test_resnet", (3, 64, 64)),
        "torch.optim.SGD.step": lambda: optimizer_bytes(recipe, model),
        "timm.create_model": lambda: build_model(recipe, Loop(SMALL, World(torch.device("cpu"))).data),
    }.items():
        with monkeypatch.context() as patch:
            patch.setattr(place, report)
            with pytest.raises(RuntimeError, match=r"^DefaultCPUAllocator"):
                trial()


def test_evaluate_and_predict_tell_their_options(digit_folders, folder_run, monkeypatch, capsys):
    run = str(folder_run.run.directory)
    picture = str(digit_folders / "train" / "zero" / "0.png")

    def report(*args, **more):
        raise REPORTS["cuda"]

    monkeypatch.setattr("advprop.evaluation.evaluator.accuracies", report)
    assert main(["evaluate", run, "--test-batch-size", "64"]) == 1
    assert one_line(capsys).endswith("(tried to allocate 2.00 GiB): lower --test-batch-size (now 64)")
    assert main(["evaluate", run, "--data", str(digit_folders)]) == 1
    assert one_line(capsys).endswith("lower --test-batch-size (now 100)")
    monkeypatch.setattr("advprop.inference.prediction._predict_batch", report)
    assert main(["predict", picture, "--model", run]) == 1
    assert one_line(capsys).endswith(
        "out of memory in prediction (tried to allocate 2.00 GiB): lower --batch-size (now 32)"
    )
