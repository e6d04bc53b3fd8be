"""Runs, a recipe and an exported folder made by version 0.1.0: they load bit for bit, and go on.

`tests/runs/made_by_0_1_0` was made at commit 62b85bf with `advprop.train` on scikit-learn's digits. `advprop`
and `fast` were stopped by SIGTERM after 3 of 6 steps, `fine-grained` was finished and exported. What that
version loaded is in `expected.json`: recipes, configurations, and the SHA-256 of the tensors.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from advprop import load_run, make_recipe, train
from advprop.inference import load_model
from advprop.runs import Run
from advprop.training.loop import Loop

MADE = Path(__file__).resolve().parents[1] / "runs" / "made_by_0_1_0"
EXPECTED = json.loads((MADE / "expected.json").read_text(encoding="utf-8"))
SINCE = {  # settings that came after it
    "exif_orientation": False,
    "test_share": 0.2,
    "test_batch_size": None,
    "prefetch_factor": None,
    "persistent_workers": True,
    "aug_repeats": 0,
    "model_args": {},
    "layer_decay": None,
    "decay_milestones": [90, 180, 270],
    "loss": "ce",
    "bce_target_thresh": None,
    "grad_checkpointing": False,
    "separate_passes": False,
}
RUNS = {"advprop": ("main", "adv"), "fast": ("main", "adv"), "fine-grained": ("main", "adv", "aug")}


def digest(state):
    found = hashlib.sha256()
    for name, tensor in state.items():
        found.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def plain(values):
    return json.loads(json.dumps(values))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_loads_as_it_did(name):
    run, expected = Run(MADE / name), EXPECTED[name]
    assert plain(vars(run.recipe)) == expected["recipe"] | SINCE
    assert run.checkpoints.latest()["step"] == expected["step"]
    for branch in RUNS[name]:
        model = load_run(run.directory, branch)
        assert digest(model.state_dict()) == expected["branches"][branch]
        assert plain(model.pretrained_cfg) == expected["pretrained_cfg"]


def test_an_exported_folder_loads_as_it_did():
    model = load_model(MADE / "exported")
    assert digest(model.state_dict()) == EXPECTED["exported"]["state"]
    assert plain(model.pretrained_cfg) == EXPECTED["exported"]["pretrained_cfg"] | {
        "file": str(MADE / "exported")
    }


def test_what_a_finished_run_has_written_is_read():
    run = Run(MADE / "fine-grained")
    assert run.results()["clean"]["n"] == 1757
    assert [line["step"] for line in run.metrics()] == [1, 2, 2]


@pytest.mark.parametrize("name", ["advprop", "fast"])
def test_a_run_goes_on_the_same_way_each_time(name, tmp_path, monkeypatch):
    loaded = []
    load = Loop.load

    def looked_at(loop, state):
        load(loop, state)
        loaded.append(plain(str(loop.optimizer.state_dict()["state"].keys())))

    monkeypatch.setattr(Loop, "load", looked_at)
    ends = []
    for number in (1, 2):
        directory = tmp_path / str(number)
        shutil.copytree(MADE / name, directory)
        train(make_recipe(directory / "recipe.yaml"), directory, resume=True)
        state = Run(directory).checkpoints.latest()
        state["optimizer"] = state["optimizer"]["state"]
        parts = ("step", "best", "model", "ema", "losses", "task", "optimizer")
        ends.append({part: state[part] for part in parts if state[part] is not None})
    assert loaded[0] != "dict_keys([])"  # the optimizer's state was taken over, by its old name
    assert ends[0]["step"] == 6
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)
