import json
import re
import subprocess
from copy import deepcopy

import pytest
import torch

from advprop import create_model, make_recipe, remove_aux_norm
from advprop.data.batches import Batches
from advprop.runtime import World
from advprop.training.loop import Loop
from scripts import benchmark, peers
from scripts.peak_memory import peak_bytes
from scripts.surroundings import commit

SMALL = ["--model", "test_resnet", "--image-size", "32", "--batch-size", "10", "--precision", "fp32"]
QUICK = [*SMALL, "--device", "cpu", "--rounds", "2", "--steps", "1"]


def test_each_method_is_measured_beside_timms_way_and_kept(tmp_path, capsys):
    record = tmp_path / "there" / "benchmark.json"
    for _ in range(2):
        assert benchmark.main([*QUICK, "--record", str(record)]) == 0
    assert benchmark.main([*QUICK, "--channels-last", "--methods", "fast", "--record", str(record)]) == 0
    first, second = json.loads(record.read_text())  # the second run has taken the place of the first
    speeds = first["images_per_second"]
    assert list(speeds) == ["timm", *benchmark.CANDIDATES]
    weights = 4 * sum(each.numel() for each in create_model("test_resnet", num_classes=1000).parameters())
    peaks = first["peak_bytes"]
    assert list(peaks) == list(speeds)
    assert min(peaks.values()) > 3 * weights  # with gradients and what the optimizer keeps
    assert peaks["naive-1"] > 1.2 * peaks["timm"]  # both passes at once
    assert all(len(each) == 2 and min(each) > 0 for each in speeds.values())
    assert (first["model"], first["batch_size"], first["channels_last"]) == ("test_resnet", 10, False)
    assert second["channels_last"]
    assert list(second["images_per_second"]) == ["timm", "fast"]
    assert "advprop-5" in (told := capsys.readouterr().out)
    assert "timm = 1" in told


def test_shares_are_taken_round_by_round():
    measured = {"images_per_second": {"timm": [100.0, 50.0, 10.0], "standard": [90.0, 50.0, 8.0]}}
    assert benchmark.share_of_timm(measured, "standard") == pytest.approx((0.9, 0.8, 1.0))


def test_the_floor_counts_passes():
    """By hand: forward, back to activations, back to weights are three; an attack's step is two."""
    floors = {"timm": 1, "standard": 1, "fast": 1.2, "adversarial-1": 8 / 3, "advprop-1": 8 / 3}
    floors |= {"advprop-5": 16 / 3, "fine-grained-1": 11 / 3, "separate-1": 8 / 3}
    floors |= {"naive-1": 8 / 3, "naive-5": 16 / 3}
    assert list(floors) == ["timm", *benchmark.CANDIDATES]
    for name, floor in floors.items():
        assert benchmark.arithmetic_floor(name) == pytest.approx(floor), name
    # costs of 4, 4 and 2, standard training = 1, over a floor of 8/3
    measured = {"images_per_second": {"standard": [80.0, 100.0, 20.0], "advprop-1": [20.0, 25.0, 10.0]}}
    assert benchmark.share_of_floor(measured, "advprop-1") == pytest.approx(2 / 3)


def test_older_measurements_stay_and_are_replaced(tmp_path):
    path = tmp_path / "benchmark.json"
    older = {name: name for name in ("device", *benchmark.SETTINGS) if name != "norms"}
    path.write_text(json.dumps([older]))
    benchmark.keep(older | {"norms": "all"}, path)
    assert len(json.loads(path.read_text())) == 2
    benchmark.keep(older | {"norms": "batch"}, path)
    assert [each["norms"] for each in json.loads(path.read_text())] == ["all", "batch"]


def test_peak_memory_is_of_what_is_there_at_once():
    def work():
        first = torch.zeros(1000)
        second = torch.zeros(500)
        del first
        return second, torch.zeros(200)

    kept, peak = peak_bytes(torch.device("cpu"), work)
    assert (len(kept), peak) == (2, 4 * 1500)


@pytest.mark.parametrize(("model", "norms"), [("test_resnet", "batch"), ("test_convnext", "all")])
def test_the_naive_step_and_ours_train_alike(model, norms, monkeypatch):
    """With an eps of 0 nothing is drawn that matters: equal weights after some steps."""
    asked = {"model": model, "image_size": 32, "batch_size": 10, "precision": "fp32", "norms": norms}
    method = {"method": "advprop", "steps": 1, "eps": 0.0, "lr": 0.5, "warmup_lr": 0.1, "drop_path_rate": 0.0}
    recipe = make_recipe(asked, benchmark.SHARED, method)
    world = World(torch.device("cpu"))
    data = benchmark.random_data(recipe, world.device)
    ours = Loop(recipe, world, data)
    plain = remove_aux_norm(deepcopy(ours.task.trainable_module))
    monkeypatch.setattr(peers, "build_model", lambda *_: plain)
    naive = peers.NaiveStep(recipe, world, data)
    before = next(naive.model.parameters()).clone()
    batches = list(Batches(data.train, recipe.batch_size))
    for images, labels in batches[:2]:
        ours.advance(images, labels)
        naive(images, labels)
    images, _ = batches[2]
    logits = [
        each.eval()((images - naive.mean) / naive.std) for each in (naive.model, ours.task.trainable_module)
    ]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-4)
    assert (before - next(naive.model.parameters())).abs().max() > 1e-3


def test_the_naive_attack_stays_in_the_ball_and_climbs():
    recipe = make_recipe(
        benchmark.SHARED, model="test_resnet", image_size=32, batch_size=10, method="advprop"
    )
    world = World(torch.device("cpu"))
    naive = peers.NaiveStep(recipe, world, data := benchmark.random_data(recipe, world.device))
    images, labels = next(iter(Batches(data.train, recipe.batch_size)))
    images = images / 2 + 0.25
    found = naive.attack(images, labels)
    assert 0 < (found - images).abs().max() <= recipe.eps + 1e-6
    auxiliary = dict(naive.auxiliary.named_parameters())
    shared = {name for name, each in naive.model.named_parameters() if each is auxiliary.get(name)}
    assert "conv1.0.weight" in shared
    assert "bn1.weight" not in shared
    assert shared < set(auxiliary)


def test_timms_step_and_ours_train_alike(monkeypatch):
    """Speeds are compared of steps that do the same: equal weights after some of them."""
    asked = {"model": "test_resnet", "image_size": 32, "batch_size": 10, "precision": "fp32"}
    recipe = make_recipe(asked, benchmark.SHARED, method="standard", lr=0.5, warmup_lr=0.1)
    world = World(torch.device("cpu"))
    data = benchmark.random_data(recipe, world.device)
    ours = Loop(recipe, world, data)
    theirs = deepcopy(ours.task.trainable_module)
    monkeypatch.setattr(peers, "build_model", lambda *_: theirs)
    step = peers.timms_step(recipe, world, data)
    before = next(theirs.parameters()).clone()
    for images, labels in Batches(data.train, recipe.batch_size):
        ours.advance(images, labels)
        step(images, labels)
    trained = ours.task.trainable_module.state_dict()
    for (name, mine), other in zip(trained.items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)
    assert (before - next(theirs.parameters())).abs().max() > 1e-3


def test_a_model_that_timm_does_not_have_is_an_error_of_one_line(capsys, tmp_path):
    record = tmp_path / "record.json"
    status = benchmark.main(["--model", "resnet5000", "--device", "cpu", "--record", str(record)])
    assert status == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not record.exists()


def test_a_record_does_not_make_the_next_one_dirty(tmp_path):
    def git(*words):
        author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)

    assert commit(tmp_path) == "unknown"
    record, code = tmp_path / "docs" / "measured" / "a.json", tmp_path / "code.py"
    record.parent.mkdir(parents=True)
    for file in (record, code):
        file.write_text("1")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--message", "All")
    record.write_text("2")
    (tmp_path / "notes.txt").write_text("mine")
    clean = commit(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{7,}", clean)
    code.write_text("2")
    assert commit(tmp_path) == f"{clean}-dirty"
