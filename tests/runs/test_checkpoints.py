import errno
import logging
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from advprop.runs import checkpoints as checkpoint
from advprop.runs.checkpoints import CheckpointError, Checkpoints, load


def state(step):
    return {"step": step, "model": {"weight": torch.full((100,), float(step))}, "lr": 0.1, "note": None}


def test_what_is_saved_is_loaded(tmp_path):
    path = Checkpoints(directory=tmp_path / "new" / "run").save(state(3), 3)
    assert path.name.startswith("step-00000003-")
    loaded = load(path)
    assert loaded.keys() == state(3).keys()
    assert torch.equal(loaded["model"]["weight"], state(3)["model"]["weight"])
    assert torch.load(path, weights_only=True)["step"] == 3


def test_the_last_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(directory=tmp_path, keep=2)
    for step in (5, 10, 15, 20, 100_000_000):
        checkpoints.save(state(step), step, protect={10})
    assert [load(path)["step"] for path in checkpoints.paths()] == [10, 20, 100_000_000]
    assert checkpoints.latest()["step"] == 100_000_000


def test_nothing_saved_is_nothing(tmp_path):
    assert Checkpoints(directory=tmp_path / "none").latest() is None
    (tmp_path / "step-1.pt").write_bytes(b"not ours")
    assert Checkpoints(directory=tmp_path).latest() is None


@pytest.mark.parametrize("damage", ["truncate", "alter", "empty"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage, caplog):
    checkpoints = Checkpoints(directory=tmp_path)
    checkpoints.save(state(1), 1)
    path = checkpoints.save(state(2), 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"truncate": content[:-100], "alter": content, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest()["step"] == 1
    assert path.name in caplog.text
    with pytest.raises(CheckpointError, match=rf"{path.name} is truncated or altered"):
        load(path)


def test_only_damaged_checkpoints_are_an_error(tmp_path, caplog):
    checkpoints = Checkpoints(directory=tmp_path)
    for step in (1, 2):
        checkpoints.save(state(step), step).write_bytes(b"")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(CheckpointError, match=r"all 2 checkpoints in .* are damaged; start anew"),
    ):
        checkpoints.latest()
    newer, oldest = caplog.messages
    assert newer.endswith("; the one before it is tried")
    assert "before it" not in oldest


def test_what_is_no_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="is not the name of a checkpoint"):
        load(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load(tmp_path / "step-00000001-0123456789abcdef.pt")


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(directory=tmp_path)
    checkpoints.save(state(1), 1)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left on device \([\d.e+]+ MiB are free\)"):
        checkpoints.save(state(2), 2)
    assert checkpoints.latest()["step"] == 1
    assert len(list(tmp_path.iterdir())) == 1  # nothing half written is left over


def test_room_for_the_latest_the_best_and_the_one_being_written_is_looked_for(tmp_path, monkeypatch):
    checkpoints = Checkpoints(directory=tmp_path, keep=2)
    size = checkpoints.save(state(1), 1).stat().st_size

    def needs(count, to_come=9, growth=0):
        def check(free):
            monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
            checkpoints.check_room(to_come, growth)

        check(count)
        with pytest.raises(
            CheckpointError, match=r"will take .* MiB more at least, and .* MiB are free; make"
        ):
            check(count - 1)

    needs(3 * size)
    needs(1 * size, to_come=1)
    needs(2 * size, to_come=2)
    needs(3 * size + 4 * 50, growth=50)
    checkpoints.save(state(2), 2)
    checkpoints.save(state(3), 3, protect={1})
    needs(size)
    Checkpoints(directory=tmp_path, keep=9).save(state(4), 4, protect={1})  # more than are kept from now on
    needs(size)


_SAVE_AT_A_LIMIT = """
import resource, sys, torch
from advprop.runs.checkpoints import Checkpoints

checkpoints = Checkpoints(directory=sys.argv[1])
state = {"weight": torch.ones(100_000)}
checkpoints.save(state, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    checkpoints.save(state, 2)
except OSError as error:
    print(type(error).__name__, error)
print(checkpoints.latest()["weight"].shape)
"""


def test_a_file_that_stops_growing_while_torch_writes_it_is_told(tmp_path):
    words = [sys.executable, "-c", _SAVE_AT_A_LIMIT, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told, shape = done.stdout.splitlines()
    assert told.startswith(f"CheckpointError cannot save a checkpoint in {tmp_path}: File too large (")
    assert shape == "torch.Size([100000])"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_that_could_not_be_read_takes_no_place(tmp_path):
    checkpoints = Checkpoints(directory=tmp_path, keep=2)
    for step in (1, 2, 3):
        path = checkpoints.save(state(step), step)
    path.write_bytes(path.read_bytes()[:-50])
    checkpoints.save(state(2) | {"note": "again"}, 2)  # the run went on from 2, which is saved once more
    assert [load(path)["step"] for path in checkpoints.paths()] == [2]
    checkpoints.save(state(3), 3)
    assert [load(path)["step"] for path in checkpoints.paths()] == [2, 3]


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        CheckpointError, match=r"cannot save a checkpoint in .*file.run: (Not a directory|File)"
    ):
        Checkpoints(directory=tmp_path / "file" / "run").save(state(1), 1)


_SAVE_FOR_EVER = """
import sys, torch
from advprop.runs.checkpoints import Checkpoints
checkpoints = Checkpoints(directory=sys.argv[1])
for step in range(1, 10**6):
    checkpoints.save({"step": step, "weight": torch.full((300_000,), float(step))}, step)
    print(step, flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011])
def test_a_kill_in_the_middle_of_a_save_leaves_the_last_checkpoint(tmp_path, delay):
    with subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        told = [process.stdout.readline() for _ in range(4)]
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    last = int(told[-1])
    checkpoints = Checkpoints(directory=tmp_path)
    found = checkpoints.latest()
    assert found["step"] in (last, last + 1)
    assert torch.equal(found["weight"], torch.full((300_000,), float(found["step"])))
    checkpoints.save(found, found["step"])
    assert {path.suffix for path in tmp_path.iterdir()} == {".pt"}  # the next save clears what was left over
