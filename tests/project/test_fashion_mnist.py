import gzip
import json

import numpy as np
import pytest

from scripts import fashion_mnist


@pytest.fixture
def source(tmp_path):
    """Files like Fashion-MNIST's, of images as bright as their label; those of the tests are packed."""
    folder = tmp_path / "source"
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, count in (("train", 600), ("t10k", 40)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = (25 * labels[:, None, None] + random.integers(0, 20, (count, 28, 28))).astype(np.uint8)
        for kind, values, head in (("images-idx3", images, (2051, 28, 28)), ("labels-idx1", labels, (2049,))):
            numbers = (head[0], count, *head[1:])
            data = b"".join(n.to_bytes(4, "big") for n in numbers) + values.tobytes()
            packed = part == "t10k"
            name = f"{part}-{kind}-ubyte{'.gz' * packed}"
            (folder / name).write_bytes(gzip.compress(data) if packed else data)
    return folder


def test_runs_are_kept_and_not_done_again(source, tmp_path, capsys):
    record = tmp_path / "record.json"
    asked = ["--source", str(source), "--runs", str(tmp_path / "runs"), "--record", str(record)]
    asked += ["--seeds", "3", "--epochs", "1", "--device", "cpu"]
    assert fashion_mnist.main(asked) == 0
    found = json.loads(record.read_text())["table"]
    runs = {run["method"]: run for run in found["runs"]}
    assert list(runs) == ["advprop", "fine-grained", "fast", "adversarial", "standard"]
    assert all((run["seed"], run["n"]) == (3, 40) for run in runs.values())
    assert all(0 <= run[what] <= 1 for run in runs.values() for what in ("clean", "corrupted"))
    assert len({run["corrupted"] for run in runs.values()}) > 1
    assert {"date", "device", "versions", "commit"} < found.keys()
    first = (tmp_path / "runs" / "fast-3" / "metrics.jsonl").read_text()
    assert fashion_mnist.main(asked) == 0
    assert (tmp_path / "runs" / "fast-3" / "metrics.jsonl").read_text() == first
    assert json.loads(record.read_text())["table"]["runs"] == found["runs"]


def test_eps_is_chosen_on_training_images_alone(source, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "HELD_OUT", 200)
    asked = {}
    monkeypatch.setattr(
        fashion_mnist, "train_all", lambda runs, jobs: asked.update(runs) or ({"n": 1} for _ in runs)
    )
    record = tmp_path / "record.json"
    record.write_text('{"table": []}')
    arguments = ["--source", str(source), "--runs", str(tmp_path / "runs"), "--record", str(record)]
    assert fashion_mnist.main([*arguments, "--choose"]) == 0
    kept = json.loads(record.read_text())
    assert kept["table"] == []
    assert [each["eps"] for each in kept["choice"]["runs"]] == list(fashion_mnist.CHOICE_EPS)
    (data_dir,) = {settings["data_dir"] for settings in asked.values()}
    raw = tmp_path / "runs" / "data-choice" / "FashionMNIST" / "raw"
    assert raw.parent.parent == type(raw)(data_dir)
    whole = (source / "train-images-idx3-ubyte").read_bytes()
    train, test = ((raw / f"{part}-images-idx3-ubyte").read_bytes() for part in ("train", "t10k"))
    assert (int.from_bytes(train[4:8], "big"), int.from_bytes(test[4:8], "big")) == (400, 200)
    assert train[16:] + test[16:] == whole[16:]
    labels = (raw / "t10k-labels-idx1-ubyte").read_bytes()
    assert labels[8:] == (source / "train-labels-idx1-ubyte").read_bytes()[-200:]


def test_a_source_that_is_not_there_is_an_error_of_one_line(tmp_path, capsys):
    assert fashion_mnist.main(["--source", str(tmp_path / "no")]) == 2
    assert "--source says where" in capsys.readouterr().err
