"""torchrun starts processes again: they go on with what their job began, and with nothing else."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run, choose_directory
from advprop.runtime.torchrun import Job, torchrun_job

SMALL = make_recipe(train_images=40, batch_size=20, epochs=2, severities=(), device="cpu", save_every=1)

# Trains as the command does, and dies in the second step of its first attempt, unless it dies before.
_DIES_ONCE = """
import os, sys
from advprop.cli.main import main
from advprop.training.loop import Loop

advance = Loop.advance

def dies(loop, images, labels):
    if loop.step == 1:
        os._exit(1)
    advance(loop, images, labels)

if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    Loop.advance = dies
sys.exit(main(["train", "--recipe", "recipe.yaml", *sys.argv[1:]]))
"""


def torchrun(folder, *words, options=()):
    """A job of one process that is started again once."""
    (folder / "recipe.yaml").write_text(SMALL.to_yaml())
    (folder / "dies_once.py").write_text(_DIES_ONCE)
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "--max-restarts", "1"),
            *(*options, "dies_once.py", *words),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_outside_of_torchrun_there_is_no_job():
    assert torchrun_job() == Job(name="", restarted=False)


def test_a_run_is_of_the_job_that_began_it_or_went_on_with_it(tmp_path):
    first, second = Job("one"), Job("two")
    run = Run(tmp_path / "run")
    run.begin(SMALL, resume=False, job=first)
    with pytest.raises(ValueError, match=r"there is a run in .* already"):
        run.begin(SMALL, resume=False, job=first)  # it was not started again, but trains there twice
    run.begin(SMALL, resume=False, job=Job("one", restarted=True))
    with pytest.raises(ValueError, match=r"there is a run in .* already"):
        run.begin(SMALL, resume=False, job=Job("two", restarted=True))
    with pytest.raises(ValueError, match=r"there is a run in .* already"):
        run.begin(SMALL, resume=False, job=Job("", restarted=True))
    run.begin(SMALL, resume=True, job=second)
    run.begin(SMALL, resume=False, job=Job("two", restarted=True))


def test_a_job_that_is_started_again_finds_its_run_and_no_other(tmp_path):
    names = [tmp_path / name for name in ("digits-advprop", "digits-advprop-2", "digits-advprop-3")]
    for directory, job in zip(names, ("one", "two", ""), strict=True):
        Run(directory).begin(SMALL, resume=False, job=Job(job))
    assert choose_directory(SMALL, False, Job("one", restarted=True), tmp_path) == names[0]
    assert choose_directory(SMALL, False, Job("two", restarted=True), tmp_path) == names[1]
    assert choose_directory(SMALL, False, Job("two"), tmp_path).name == "digits-advprop-4"
    assert choose_directory(SMALL, False, Job("new", restarted=True), tmp_path).name == "digits-advprop-4"
    assert choose_directory(SMALL, True, Job("one", restarted=True), tmp_path) == names[2]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("own_id", [True, False])
def test_torchrun_goes_on_with_what_it_began_and_not_with_what_it_was_refused(own_id, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = () if own_id else ("--rdzv-backend", "static", "--master-port", str(port))
    done = torchrun(tmp_path, options=options)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in Path(tmp_path / "runs").iterdir()] == ["digits-advprop"]
    run = Run(tmp_path / "runs" / "digits-advprop")
    assert run.results() is not None
    finished = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
    refused = torchrun(tmp_path, "--out", "runs/digits-advprop", options=options)
    assert refused.returncode != 0
    assert refused.stderr.count("there is a run in runs/digits-advprop already; go on with it") == 2
    assert {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()} == finished
