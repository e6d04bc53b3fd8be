import json

import pytest

from docs.hooks import measured, tree
from docs.hooks.rendering import environment, render
from scripts.benchmark import CANDIDATES
from scripts.fashion_mnist import CHOICE_EPS

RUNS = [
    {"method": "advprop", "seed": 0, "clean": 0.92, "corrupted": 0.60, "n": 10},
    {"method": "standard", "seed": 0, "clean": 0.90, "corrupted": 0.50, "n": 10},
    {"method": "fast", "seed": 0, "clean": 0.89, "corrupted": 0.70, "n": 10},
]


def again(clean, corrupted):
    """The same runs from another seed, so much better."""
    return [
        run | {"seed": 1, "clean": run["clean"] + clean, "corrupted": run["corrupted"] + corrupted[i]}
        for i, run in enumerate(RUNS)
    ]


def test_one_seed_has_differences_and_no_error():
    standard, fast, advprop = measured.trained(RUNS)
    assert [row.method for row in (standard, fast, advprop)] == ["standard", "fast", "advprop"]
    assert (advprop.seeds, advprop.clean, advprop.corrupted) == (1, 92, 60)
    assert advprop.clean_gain == (pytest.approx(2), None)
    assert measured.signed(fast.clean_gain) == "-1.0"


def test_several_seeds_are_compared_seed_by_seed():
    rows = measured.trained(RUNS + again(0.02, (0.04, 0.02, 0.02)))
    advprop = next(row for row in rows if row.method == "advprop")
    assert (advprop.seeds, advprop.clean) == (2, pytest.approx(93))
    assert advprop.clean_gain == (pytest.approx(2), pytest.approx(0))  # both moved alike
    assert advprop.corrupted_gain == (pytest.approx(11), pytest.approx(1))  # by 10 and by 12
    assert measured.signed(advprop.corrupted_gain) == "+11.0 ± 1.0"


def test_what_is_published_is_whole():
    fashion = measured.record("fashion_mnist")
    runs = fashion["table"]["runs"]
    seeds = {run["seed"] for run in runs}
    methods = {"advprop", "fine-grained", "fast", "adversarial", "standard"}
    assert {(run["method"], run["seed"]) for run in runs} == {(m, s) for m in methods for s in seeds}
    assert {run["n"] for run in runs} == {10_000}
    chosen = max(fashion["choice"]["runs"], key=lambda run: run["corrupted"])
    assert [run["eps"] for run in fashion["choice"]["runs"]] == list(CHOICE_EPS)
    assert f"eps: {chosen['eps']}\n" in measured.text("fashion_mnist.yaml")
    for each in measured.record("benchmark"):
        assert list(each["images_per_second"])[:2] == ["timm", "standard"]
        assert set(each["images_per_second"]) <= {"timm", *CANDIDATES}


def test_hours_are_epochs_by_images_per_second(root):
    rate = {
        "standard": [3000.0, 1000.0, 2000.0],
        "advprop-1": [500.0],
        "advprop-5": [100.0],
        "fast": [1000.0],
    }
    rates = {"model": "resnet50", "images_per_second": _even(rate)}
    found = {row.recipe: row for row in measured.costs(rates)}
    assert list(found) == ["resnet50", "resnet50-fast", "resnet50-pgd1", "resnet50-pgd5"]
    standard = found["resnet50"]
    assert (standard.epochs, standard.images_per_second) == (105, 2000)
    assert standard.hours == pytest.approx(105 * 1_281_167 / 2000 / 3600)
    assert found["resnet50-pgd5"].hours == pytest.approx(20 * standard.hours)
    page = render(
        environment(measured=measured), (root / "docs/guides/imagenet.md").read_text(), where="page"
    )
    for row in measured.costs(measured.record("benchmark")[0]):
        assert f"| `{row.recipe}` | {row.epochs} | {row.images_per_second:,.0f} | {row.hours:.0f} |" in page


def _even(rates):
    """As many rounds of each, and timm's."""
    return {"timm": [1.0] * 3} | {name: (each * 3)[:3] for name, each in rates.items()}


def cost_pages():
    """What renders the page about cost."""
    return environment(measured=measured, prices=list, cost_charts=lambda: tree.cost_charts()[0])


def test_the_page_has_the_numbers_of_the_records(root):
    page = render(environment(measured=measured), (root / "docs" / "results.md").read_text(), where="page")
    runs = measured.record("fashion_mnist")["table"]["runs"]
    for row in measured.trained(runs):
        assert f"| {row.method} | {row.clean:.1f} | {row.corrupted:.1f} |" in page
    assert json.dumps(runs[0]["n"]) not in page  # 10,000 is written for readers
    page = render(cost_pages(), (root / "docs" / "cost.md").read_text(), where="page")
    for each in measured.record("benchmark"):
        for speed in measured.speeds(each):
            assert f"| {speed.name} | {speed.images_per_second:,.0f} | {speed.share[0]:.3f} (" in page
        assert each["command"] in page


def test_a_benchmark_with_memory_and_one_of_before_are_shown(root, monkeypatch):
    (older,) = (each for each in measured.record("benchmark") if "peak_bytes" not in each)
    rates = {"timm": [10.0], "standard": [10.0], "advprop-1": [3.0], "naive-1": [1.5]}
    newer = older | {"images_per_second": rates, "norms": "all", "compile": True, "device": "CPU"}
    newer["peak_bytes"] = {"timm": 1_000_000, "standard": 1e9, "advprop-1": 2.5e9, "naive-1": 5_100_000_000}
    records = [older, newer]
    found = measured.record
    monkeypatch.setattr(measured, "record", lambda name: records if name == "benchmark" else found(name))
    env = cost_pages()
    page = render(env, (root / "docs" / "cost.md").read_text(), where="page")
    assert "| advprop-1 | 3 | 0.300 (0.300 to 0.300) | 3.3 | 0.80 | 2.50 GB |\n" in page  # 8/3 of 10/3
    assert "| naive-1 | 2 | 0.150 (0.150 to 0.150) | 6.7 | 0.40 | 5.10 GB |\n" in page
    assert "### resnet50, compiled, CPU" in page
    assert page.count("Share of the floor |\n| --- | ---: | ---: | ---: | ---: |\n") == 1
    guide = render(env, (root / "docs/guides/imagenet.md").read_text(), where="page")
    assert guide.count("Hours on one") == 1


def test_how_fast_images_are_read_is_shown_once_it_was_measured(root, monkeypatch):
    rates = {"folder": {"0": 99.6, "4": 1234.5}, "tar": {"0": 5.0, "4": 6.0}}
    reading = {"images": 2048, "pixels": [500, 375], "batch_size": 64, "images_per_second": rates}
    reading |= {
        "command": "python -m scripts.data_path",
        "date": "",
        "device": "",
        "commit": "",
        "versions": {},
    }
    found = measured.record
    monkeypatch.setattr(measured, "record", lambda name: reading if name == "data_path" else found(name))
    for there in (True, False):
        monkeypatch.setattr(measured, "recorded", lambda name, there=there: there)
        env = cost_pages()
        page = render(env, (root / "docs" / "cost.md").read_text(), where="page")
        table = "| `--workers` | folder | tar |\n| ---: | ---: | ---: |\n| 0 | 100 | 5 |\n| 4 | 1,234 | 6 |\n"
        assert (table in page) == there
        assert ("## How fast images are read" in page) == there
