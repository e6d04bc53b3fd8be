import json

from scripts import data_path


def test_each_form_is_read_with_each_number_of_workers(tmp_path, capsys):
    record = tmp_path / "data_path.json"
    quick = ["--images", "20", "--batch-size", "5", "--workers", "0", "1"]
    assert data_path.main([*quick, "--record", str(record)]) == 0
    found = json.loads(record.read_text())
    assert list(found["images_per_second"]) == ["folder", "tar", "shards"]
    for rates in found["images_per_second"].values():
        assert list(rates) == ["0", "1"]
        assert min(rates.values()) > 0
    assert (found["images"], found["batch_size"]) == (20, 5)
    assert found["command"] == f"python -m scripts.data_path {' '.join(quick)}"
    assert "with 1 workers" in capsys.readouterr().out


def test_a_rate_is_of_all_batches_but_the_first(tmp_path, monkeypatch):
    """Three of four batches in 4 seconds, after 2 seconds of starting."""
    times = iter([2.0, 6.0])
    monkeypatch.setattr(data_path.time, "perf_counter", lambda: next(times))
    assert data_path.rate(data_path.write_folder(tmp_path, 20), 5, 0) == 15 / 4


def test_all_forms_have_the_same_photographs(tmp_path):
    first, second = ({name: jpeg for name, _, jpeg in data_path.photographs(8)} for _ in range(2))
    assert first == second
    assert len(set(first.values())) == 8


def test_too_few_images_are_an_error_of_one_line(tmp_path, capsys):
    record = tmp_path / "record.json"
    assert data_path.main(["--images", "64", "--record", str(record)]) == 2
    assert capsys.readouterr().err == "error: --images must be 128 or more, two batches; got 64\n"
    assert not record.exists()
