"""What a run on ImageNet takes: the arithmetic, and the table that the page shows."""

import pytest

from advprop.cards import load_model_index, load_results
from docs.hooks import calculator, measured
from docs.hooks.calculator import Network, Row
from docs.hooks.facts import Facts, verified

EPOCHS = {"standard": 350, "advprop": 350, "adversarial": 350, "fast": 88}
SMALL = Network("EfficientNet-B0", "tf_efficientnet_b0", 224, 400, 100.0, EPOCHS)
LARGE = Network("ResNet-50", "resnet50", 224, 4000, 50.0, EPOCHS)
COSTS = {("standard", None): 1.0, ("fast", None): 1.5, ("advprop", 1): 3.0, ("advprop", 5): 9.0}


@pytest.fixture(scope="module")
def facts():
    index = load_model_index()
    return Facts(index, load_results(), verified(index))


def record(model, standard, **changed):
    rates = {"timm": [1.0], "standard": [standard / 2, standard, 2 * standard], "advprop-1": [standard / 4]}
    shown = {"model": model, "image_size": 224, "device": "a GPU", "compile": False}
    return shown | {"images_per_second": rates} | changed


def test_days_and_gpu_hours_by_hand():
    """1,281,167 images x 350 epochs = 448,408,450; at 1000 images/s that is 448,408.45 s."""
    one, eight = calculator.run(1000, 350), calculator.run(1000, 350, gpus=8)
    assert one.days == pytest.approx(5.18991, abs=1e-5)
    assert one.gpu_hours == pytest.approx(124.5579, abs=1e-4)
    assert (eight.images_per_second, eight.days) == (8000, pytest.approx(one.days / 8))
    assert eight.gpu_hours == pytest.approx(one.gpu_hours)


def test_attack_steps_lie_on_a_line_and_what_was_not_measured_has_no_number():
    row = Row(SMALL, LARGE, 900.0, COSTS | {("adversarial", 1): 2.5}, 1.0)
    assert [row.cost("advprop", steps) for steps in (1, 2, 5, 7)] == [3.0, 4.5, 9.0, 12.0]
    assert row.cost("fast", 4) == 1.5
    assert (row.cost("adversarial", 1), row.cost("adversarial", 2)) == (2.5, None)
    assert row.cost("fine-grained", 1) is None
    assert row.run("fine-grained") is None
    assert row.run("advprop", 5) == calculator.run(100, 350)
    assert row.run("fast") == calculator.run(600, 88)


def test_speed_is_scaled_as_timm_has_it_from_the_network_that_is_most_alike(facts):
    models = facts.members("AdvProp")
    rows = calculator.prices(models, [record("resnet50", 1000.0)])
    assert [row.network.name for row in rows] == ["ResNet-50", *(f"EfficientNet-B{n}" for n in range(9))]
    assert rows[0].rate == 1000
    assert rows[0].slower == 1
    assert {row.base.name for row in rows} == {"ResNet-50"}
    # 4,089,184,256 and 4,393,771,024 multiply-accumulates
    b4 = rows[5]
    assert b4.rate == pytest.approx(1000 * 194.65 / 826.06)
    assert b4.costs == {("standard", None): 1, ("advprop", 1): 4}
    assert b4.network.epochs["advprop"] == 350
    assert b4.slower == pytest.approx(826.06 * 0.930678 / 194.65, rel=1e-5)
    records = [record("resnet50", 1000.0), record("tf_efficientnet_b0", 200.0)]
    b0, b1 = calculator.prices(models, records)[1:3]
    assert (b0.base, b0.rate, b0.slower) == (b0.network, 200, 1)
    assert (b1.base, b1.rate) == (b0.network, pytest.approx(200 * 863.54 / 1398.67))


@pytest.mark.parametrize("changed", [{"device": "CPU (2 cores)"}, {"compile": True}, {"image_size": 112}])
def test_other_measurements_do_not_count(changed, facts):
    assert calculator.prices(facts.members("AdvProp"), [record("resnet50", 1000.0, **changed)]) == []


def test_the_assumptions_are_those_of_the_recipes(facts, root):
    resnet, *cards = calculator.prices(facts.members("AdvProp"), measured.record("benchmark"))
    page = (root / "docs" / "templates" / "calculator.md").read_text()
    assert {epochs for row in cards for epochs in row.network.epochs.values()} == {350}
    assert "The cards state 350 epochs." in page
    assert (resnet.network.epochs["standard"], resnet.network.epochs["fast"]) == (105, 88)
    assert "have 105, and the one of Fast AdvProp has 88" in page
    assert {steps for method, steps in resnet.costs if method == "advprop"} == {1, 5}
    assert min(row.slower for row in cards) > 1  # "By MACs alone ..."
