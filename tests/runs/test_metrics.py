"""The records of a run: one source, and what is made of it."""

import csv
import json
import struct
import subprocess
import sys

import pytest

from advprop import train
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run
from advprop.runs.metrics import Journal, summary
from advprop.runtime.optional import MissingExtraError
from advprop.training.loop import Loop

SMALL = make_recipe(
    train_images=40, batch_size=10, epochs=3, severities=(), test_every=2, log_every=3, method="standard"
)


def scalars(run):
    """Every point of TensorBoard's, as its own reader has them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.directory / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def stop_at(monkeypatch, step):
    """Lets a run end without a word at a step, as if killed; what was recorded after the checkpoint stays."""
    advance = Loop.advance

    def killed(loop, images, labels):
        if loop.step == step:
            raise MemoryError
        advance(loop, images, labels)

    monkeypatch.setattr(Loop, "advance", killed)


def rows(run):
    with (run.directory / "epochs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_summary_has_a_row_for_each_epoch():
    run_lines = [
        {"step": 3, "epoch": 0.75, "loss": 4.0, "lr": 0.1, "seconds": 1.0},
        {"step": 4, "epoch": 1.0, "loss": 2.0, "lr": 0.2, "seconds": 2.0},
        {"step": 4, "epoch": 1.0, "test_top1_percent": 10.0, "test_top5_percent": 50.0, "test_loss": 2.0},
        {"step": 8, "epoch": 2.0, "loss": 1.0, "lr": 0.3, "seconds": 3.0},
        {"step": 9, "epoch": 2.25, "loss": 9.0, "lr": 0.4, "seconds": 4.0},
    ]
    first, second = summary(run_lines)
    assert (first["epoch"], first["step"], first["loss"], first["lr"]) == (1, 4, (3 * 4 + 2) / 4, 0.2)
    assert (first["test_top1_percent"], second["test_top1_percent"]) == (10.0, "")
    assert (second["epoch"], second["loss"], second["seconds"]) == (2, 1.0, 3.0)
    assert summary(run_lines[2:3]) == []  # the line of the losses is gone, and that of the test is left
    assert summary([run_lines[1], {**run_lines[2], "step": 8}])[0]["test_top1_percent"] == ""


def test_a_resumed_run_leaves_each_point_once(tmp_path, monkeypatch):
    whole = train(SMALL, tmp_path / "whole", logs=["tensorboard"]).run
    stop_at(monkeypatch, 7)  # step 6 was recorded, and the checkpoint is that of step 4
    with pytest.raises(MemoryError):
        train(SMALL, tmp_path / "run", logs=["tensorboard"])
    run = Run(tmp_path / "run")
    assert [step for step, _ in scalars(run)["train/loss"]] == [3, 4, 6]
    monkeypatch.undo()
    train(SMALL, run.directory, resume=True, logs=["tensorboard"])
    clock = ("train/seconds", "train/images_per_second")
    expected = {tag: points for tag, points in scalars(whole).items() if tag not in clock}
    assert {tag: points for tag, points in scalars(run).items() if tag not in clock} == expected
    assert [step for step, _ in expected["train/loss"]] == [3, 4, 6, 8, 9, 12]
    assert [step for step, _ in expected["test/top1_percent"]] == [8, 12]
    steady = [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows(run)
    ]
    assert [(row["epoch"], row["step"]) for row in steady] == [("1", "4"), ("2", "8"), ("3", "12")]
    assert steady == [{k: row[k] for k in steady[0]} for row in rows(whole)]
    assert rows(run)[0]["test_top1_percent"] == "" != rows(run)[1]["test_top1_percent"]


_OFFLINE = """
import sys
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run
from advprop.runs.metrics import Journal
from pathlib import Path

directory, first, last = Path(sys.argv[1]), *map(int, sys.argv[2:])
run, recipe = Run(directory), make_recipe(epochs=3)
with Journal(run, recipe, ["wandb"]) as journal:
    journal.begin(first)
    for step in range(first + 1, last + 1):
        journal.record(step=step, epoch=float(step), loss=1 / step)
        journal.record(step=step, epoch=float(step), test_loss=2 / step)
"""


def wandb_records(content):
    """The records in a file of W&B's: LevelDB's log format behind a header of 7 bytes."""
    at, record = 7, b""
    while at < len(content):
        if 32768 - at % 32768 < 7:  # no header fits into the rest of a block
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def wandb_history(directory):
    """All that W&B was told, from its own files, in the order in which it was told it."""
    from wandb.proto import wandb_internal_pb2

    found = []
    paths = directory.glob("wandb/offline-run-*/*.wandb")
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        for content in wandb_records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            if record.WhichOneof("record_type") == "history":
                items = {
                    each.key or "/".join(each.nested_key): each.value_json for each in record.history.item
                }
                found.append({name: json.loads(value) for name, value in items.items()})
    return found


@pytest.mark.slow
@pytest.mark.nightly
def test_wandb_is_told_each_point_once(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("WANDB_MODE", "offline")
    for first, last in ((0, 3), (1, 4)):  # killed after step 3, resumed from the checkpoint of step 1
        words = [sys.executable, "-c", _OFFLINE, str(tmp_path / "run"), str(first), str(last)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    told = wandb_history(tmp_path / "run")
    assert [line["_step"] for line in told] == [1, 2, 3, 4]
    assert [line["train/loss"] for line in told] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert [line["test/loss"] for line in told] == [2, 1, 2 / 3, 1 / 2]
    assert json.loads((tmp_path / "run" / "wandb.json").read_text())["sent"] == 8


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_told_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda package: None)
    with pytest.raises(
        MissingExtraError, match=rf'{name} must be installed: pip install "advprop\[{name}\]"'
    ):
        train(SMALL, tmp_path / "run", logs=[name])
    assert not (tmp_path / "run").exists()


def test_a_journal_without_more_needs_no_package(tmp_path, monkeypatch):
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda package: None)
    with Journal(Run(tmp_path), SMALL) as journal:
        journal.begin(0)
    assert (tmp_path / "metrics.jsonl").read_text() == ""
