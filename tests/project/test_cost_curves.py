import json

import pytest
import torch

from docs.hooks.charts import cost_chart
from docs.hooks.outputs import Figures
from scripts import cost_curves
from scripts.benchmark import arithmetic_floor

TINY = {"model": "test_resnet", "image_size": 32, "batch_size": 10, "precision": "fp32"}


def test_curves_are_measured_on_one_rank_and_on_two_and_kept(tmp_path, monkeypatch):
    few = {"images in a batch": (10, 20), "steps of the attack": (1, 4), "ranks": (1, 2)}
    monkeypatch.setattr(cost_curves, "SETTINGS", {"cpu": TINY})
    monkeypatch.setattr(cost_curves, "VALUES", {"cpu": few})
    record = tmp_path / "curves.json"
    record.write_text(json.dumps([{"device": "another"}]))
    assert cost_curves.main(["--device", "cpu", "--rounds", "2", "--record", str(record)]) == 0
    other, measured = json.loads(record.read_text())
    assert other == {"device": "another"}
    assert measured["command"] == "python -m scripts.cost_curves --device cpu --rounds 2"
    curves = measured["curves"]
    assert {name: tuple(point["at"] for point in points) for name, points in curves.items()} == few
    for points in curves.values():
        for costs in (point["costs"] for point in points):
            assert list(costs) in (list(cost_curves.CURVES), ["advprop"])
            assert all(len(each) == 2 and min(each) > 1 for each in costs.values())
    one, four = (point["costs"]["advprop"] for point in curves["steps of the attack"])
    assert min(four) > max(one)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_an_error_of_one_line(tmp_path, capfd):
    record = tmp_path / "curves.json"
    assert cost_curves.main(["--device", "cuda", "--record", str(record)]) == 2
    assert "error: there is no device 'cuda' here" in capfd.readouterr().err
    assert not record.exists()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_each_point_changes_one_setting(device):
    for name, value, point in cost_curves.points(device):
        base = cost_curves.SETTINGS[device]
        changed = {key: each for key, each in point.settings.items() if each != base[key]}
        kind = {"images in a batch": "batch_size", "pixels of a side": "image_size"}.get(name)
        if kind:
            assert changed in ({}, {kind: value})
            assert point.settings[kind] == value
        elif name == "ranks":
            assert point.settings["batch_size"] == value * base["batch_size"]
            assert point.ranks == value
        else:
            assert changed == {}
            assert point.methods["advprop"]["steps"] == value
            assert arithmetic_floor(f"advprop-{value}") == pytest.approx((2 * value + 6) / 3)


def test_the_chart_tells_what_it_shows():
    points = [{"at": 4, "costs": {"fast": [1.5, 1.3, 1.4], "advprop-1": [2.0, 2.5, 3.0], "advprop-5": [5.0]}}]
    attacked = [{"at": steps, "costs": {"advprop": [steps + 1.5]}} for steps in (1, 5)]
    base = {"model": "resnet18", "batch_size": 4, "image_size": 96, "rounds": 3}
    curves = {"ranks": points, "steps of the attack": attacked}
    chart = cost_chart(base | {"curves": curves}, Figures())
    assert "ranks: at 4 Fast AdvProp 1.4, AdvProp-1 2.5, AdvProp-5 5" in chart
    assert "steps of the attack: at 1 AdvProp 2.5; at 5 AdvProp 6.5" in chart
