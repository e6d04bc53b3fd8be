import json

import pytest
import timm

from scripts import bench, benchmark, cost_curves, data_path


@pytest.fixture
def told(monkeypatch):
    """The arguments that the benchmark gets in the place of measuring."""
    found = []
    monkeypatch.setattr(benchmark, "main", lambda arguments: found.append(arguments) or 0)
    return found


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_set_has_each_network_eager_and_compiled(device, told, tmp_path, monkeypatch):
    read, drawn = [], []
    monkeypatch.setattr(cost_curves, "main", lambda arguments: drawn.append(arguments) or 0)
    monkeypatch.setattr(data_path, "main", lambda arguments: read.append(arguments) or 0)
    assert bench.main(["--device", device, "--record", str(tmp_path / "record.json")]) == 0
    assert read == [bench.READ[device]]
    assert drawn == [["--device", device, *bench.ROUNDS[device]]]
    models = [each[each.index("--model") + 1] for each in told]
    assert list(dict.fromkeys(models)) == [each[0] for each in bench.NETWORKS]
    assert all(timm.is_model(name) for name in models)
    compiled = [name for name, each in zip(models, told, strict=True) if "--compile" in each]
    assert compiled == (["resnet18"] if device == "cpu" else list(dict.fromkeys(models)))
    for name, each in zip(models, told, strict=True):
        assert ("--norms" in each) == name.startswith(("convnext", "vit")), name
        assert ("cpu" in each) == (device == "cpu")


def test_a_case_that_fails_ends_the_set(monkeypatch, tmp_path):
    statuses = iter([0, 2])
    monkeypatch.setattr(benchmark, "main", lambda _: next(statuses))
    assert bench.main(["--device", "cpu", "--record", str(tmp_path / "record.json")]) == 2


def test_a_tiny_set_is_measured_and_kept(monkeypatch, tmp_path):
    networks = (("test_resnet", (0, 0), (32, 10), "batch"), ("test_convnext", (0, 0), (32, 10), "all"))
    monkeypatch.setattr(bench, "NETWORKS", networks)
    record = tmp_path / "record.json"
    parser_models = ["--models", "test_resnet", "test_convnext"]
    assert bench.main(["--device", "cpu", "--record", str(record), *parser_models]) == 0
    resnet, convnext = json.loads(record.read_text())
    assert (resnet["norms"], convnext["norms"]) == ("batch", "all")
    for each in (resnet, convnext):
        assert list(each["images_per_second"]) == ["timm", *benchmark.CANDIDATES]
        assert list(each["peak_bytes"]) == list(each["images_per_second"])
        assert each["rounds"] == 3
    assert convnext["command"].endswith("--device cpu --norms all")
