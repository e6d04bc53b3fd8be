"""The measured results: complete, with their source, and measured as the model index says."""

from __future__ import annotations

import re
import statistics

import pytest

from advprop.cards.model_index import load_model_index
from advprop.cards.timm_results import load_results
from advprop.models import current_name, data_config


def test_rows_and_source() -> None:
    results = load_results()
    assert len(results.rows) == 34
    assert len({row.model for row in results.rows}) == 34
    assert results.licence == "Apache-2.0"
    assert re.fullmatch("[0-9a-f]{40}", results.commit)
    assert results.commit in results.source
    assert {row.recipe for row in results.rows} == set(results.recipes)
    assert any("held out" in caveat for caveat in results.caveats)


def test_every_model_of_the_index_was_measured_with_its_own_input() -> None:
    results = load_results()
    for card in load_model_index().members("AdvProp"):
        row = results.of(current_name(card.name))
        assert row is not None
        assert row.recipe == "ap_in1k"
        assert (row.image_size, row.crop_pct) == (card.image_size, card.crop_pct)
        assert row.interpolation == card.interpolation
        assert row.variant in card.name


def test_rows_agree_with_timms_configuration() -> None:
    for row in load_results().rows:
        config = data_config(row.model)
        assert (config["input_size"][1], config["crop_pct"]) == (row.image_size, row.crop_pct)


def test_accuracy_by_test_set() -> None:
    results = load_results()
    row = results.of("tf_efficientnet_b7.ap_in1k")
    assert row is not None
    assert list(row.accuracy) == list(results.test_sets)
    assert (row.accuracy["imagenet"].top1, row.accuracy["imagenet"].top5) == (85.132, 97.256)
    assert (row.accuracy["a"].top1, row.accuracy["r"].top1, row.accuracy["sketch"].top1) == (
        45.267,
        53.313,
        41.459,
    )
    for each in results.rows:
        for accuracy in each.accuracy.values():
            assert 0 < accuracy.top1 < accuracy.top5 < 100


def test_throughput_has_its_hardware() -> None:
    row = load_results().of("tf_efficientnet_b0.ap_in1k")
    assert row is not None
    inference, _, training = row.throughput
    assert (inference.images_per_second, inference.hardware.device) == (7726.91, "NVIDIA GeForce RTX 4090")
    assert (inference.hardware.task, inference.hardware.torch) == ("inference", "2.9.1")
    assert (training.images_per_second, training.hardware.task) == (1398.67, "training")


def test_siblings_are_the_recipes_of_a_size() -> None:
    results = load_results()
    assert [row.recipe for row in results.siblings("b0")] == ["in1k", "aa_in1k", "ap_in1k", "ns_jft_in1k"]
    assert [row.recipe for row in results.siblings("b8")] == ["ra_in1k", "ap_in1k"]
    assert results.of("resnet18.a1_in1k") is None


def test_gain_is_over_the_sizes_that_both_have() -> None:
    results = load_results()
    gain = results.gain("ap_in1k", over="aa_in1k", test_set="a")
    assert list(gain) == [f"b{size}" for size in range(8)]
    assert gain["b0"] == 0.12
    assert gain["b4"] == -0.107
    assert statistics.mean(results.gain("ap_in1k", over="aa_in1k", test_set="r").values()) > 4


@pytest.mark.parametrize(
    ("recipe", "test_set", "message"),
    [
        ("ap", "v2", "there is no recipe 'ap'; there are in1k, aa_in1k"),
        ("ap_in1k", "c", "there is no test set 'c'; there are imagenet, real"),
    ],
)
def test_a_wrong_key_is_told(recipe: str, test_set: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_results().top1(recipe, test_set)
