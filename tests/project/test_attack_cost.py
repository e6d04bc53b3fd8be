import json

import pytest
import timm
import torch

from advprop import FastAdvPropTask
from docs.hooks import measured, tree
from docs.hooks.rendering import environment, render
from scripts import attack_cost
from scripts.benchmark import shares


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")  # torch's own, on tracing
def test_the_parts_of_an_attack_are_measured_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(attack_cost, "CASES", (("test_resnet", 32, 10),))
    monkeypatch.setattr(attack_cost, "IN_MEMORY", (("test_resnet", 96, 10),))
    path = tmp_path / "attack_cost.json"
    assert attack_cost.main(["--rounds", "1", "--record", str(path)]) == 0
    (case,) = (record := json.loads(path.read_text()))["cases"]
    assert min(case["shares"].values()) > 0
    assert set(attack_cost.PREDICTED) <= set(case["shares"])
    (memory,) = record["memory"]
    used = memory["bytes"]
    assert used["standard"] < used["AdvProp, a pass for each branch"] < 1.5 * used["standard"]
    assert 1.5 * used["standard"] < used["AdvProp"] < 1.1 * used["standard, twice the batch"]
    assert len(case["operations"]) == attack_cost.OPERATIONS
    assert record["command"] == "python -m scripts.attack_cost --rounds 1"
    assert "test_resnet" in capsys.readouterr().out


def test_one_pass_for_clean_and_noisy_images_gives_the_same_gradients():
    def gradients(kind):
        torch.manual_seed(0)
        task = kind(timm.create_model("test_resnet", num_classes=10).double()).train()
        task(torch.rand(10, 3, 32, 32, dtype=torch.float64), torch.randint(10, (10,)))["loss"].backward()
        return [each.grad for each in task.parameters()]

    torch.testing.assert_close(gradients(attack_cost.OnePass), gradients(FastAdvPropTask))


def test_a_share_is_of_the_same_round():
    assert shares([1.0, 4.0, 9.0], [2.0, 4.0, 3.0]) == [0.5, 1, 3]


def test_the_page_has_what_was_measured(root):
    page = render(
        environment(measured=measured, prices=list, cost_charts=lambda: tree.cost_charts()[0]),
        (root / "docs" / "cost.md").read_text(),
        where="page",
    )
    record = measured.record("attack_cost")
    for case in record["cases"]:
        assert list(case["shares"]) == list(record["cases"][0]["shares"])
    for part in record["cases"][0]["shares"]:
        told = " | ".join(f"{case['shares'][part]:.3f}" for case in record["cases"])
        assert f"| {part} | {record['predicted'].get(part, '')} | {told} |\n" in page
