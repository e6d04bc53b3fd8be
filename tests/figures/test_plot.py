import shutil

import pytest

from advprop import train
from advprop.cli.main import main
from advprop.figures.plot import plot_runs
from advprop.figures.style import COLOURS
from advprop.recipes.recipe import make_recipe
from advprop.runs.directory import Run
from advprop.runs.metrics import Journal
from advprop.runtime.optional import MissingExtraError

SMALL = {"train_images": 40, "batch_size": 10, "epochs": 3, "severities": (), "test_every": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for method in ("advprop", "standard"):
        train(make_recipe(SMALL, method=method), root / method)
    return [root / "advprop", root / "standard"]


def test_what_was_recorded_is_drawn(runs):
    figure = plot_runs(runs)
    losses, accuracy, rate = figure.axes
    lines = [Run(run).metrics() for run in runs]
    for number, name in enumerate(("advprop", "standard")):
        drawn = accuracy.lines[number]
        tests = [line for line in lines[number] if "test_top1_percent" in line]
        assert drawn.get_label() == name
        assert list(drawn.get_xdata()) == [1, 2, 3]
        assert list(drawn.get_ydata()) == [line["test_top1_percent"] for line in tests]
        assert drawn.get_color() == rate.lines[number].get_color() == COLOURS[number]
        assert list(rate.lines[number].get_ydata()) == [line["lr"] for line in lines[number] if "lr" in line]
    assert [line.get_gid() for line in losses.lines] == ["loss_clean", "loss_adv", "loss_clean"]
    assert list(losses.lines[1].get_ydata()) == [x["loss_adv"] for x in lines[0] if "loss_adv" in x]
    assert [text.get_text() for text in losses.get_legend().get_texts()] == ["clean", "adversarial"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["advprop", "standard"]
    assert len({line.get_marker() for line in accuracy.lines}) == 2  # told apart without colours, too


def test_runs_of_one_name_are_told_apart_by_their_paths(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "advprop")
    figure = plot_runs([runs[0], tmp_path / "advprop"])
    assert [line.get_label() for line in figure.axes[1].lines] == [str(runs[0]), str(tmp_path / "advprop")]


@pytest.mark.parametrize(("ending", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_the_ending_of_the_file_tells_its_kind(ending, start, runs, tmp_path, capsys):
    words = ["plot", str(runs[0]), "--out", str(tmp_path / f"a{ending}")]
    assert main(words) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / f'a{ending}'}\n"
    first = (tmp_path / f"a{ending}").read_bytes()
    assert first.startswith(start)
    assert main(words) == 0
    assert (tmp_path / f"a{ending}").read_bytes() == first


def test_a_run_under_way_is_drawn_and_one_without_records_told(runs, tmp_path):
    run = Run(tmp_path / "run")
    run.begin(make_recipe(SMALL), resume=False)
    with pytest.raises(ValueError, match="has no records yet"):
        plot_runs([run.directory])
    Journal(run, run.recipe).record(step=2, epoch=0.5, loss=3.0, loss_clean=3.0, lr=0.1)
    losses, accuracy, _ = plot_runs([run.directory], tmp_path / "plot.png").axes
    assert list(losses.lines[0].get_ydata()) == [3.0]
    assert list(accuracy.lines[0].get_ydata()) == []


@pytest.mark.parametrize("damaged", [b'xx{"step": 2}', b"3", b'{"loss": 3.0}', b"\x00\xff"])
def test_a_damaged_record_is_told_with_its_file_and_line_and_can_be_deleted(damaged, runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "run")
    metrics = run / "metrics.jsonl"
    first, _, *rest = metrics.read_bytes().splitlines(keepends=True)
    metrics.write_bytes(b"".join([first, damaged, b"\n", *rest]))
    told = (
        r"run.metrics.jsonl, line 2: a record must be JSON with a step and an epoch, got .*; delete the line"
    )
    with pytest.raises(ValueError, match=told):
        plot_runs([run])
    with pytest.raises(ValueError, match=told):
        train(make_recipe(SMALL, method="standard"), run, resume=True)
    metrics.write_bytes(b"".join([first, *rest]))
    train(make_recipe(SMALL, method="standard"), run, resume=True)
    assert len(Run(run).metrics()) == 5


def test_mistakes_are_told(runs, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="there is no run to draw"):
        plot_runs([])
    with pytest.raises(ValueError, match="is not the directory of a run: it has no"):
        plot_runs([*runs, tmp_path])
    with pytest.raises(ValueError, match=r"must end in .svg, .png, .pdf, got plot.jpg"):
        plot_runs(runs, "plot.jpg")
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda package: None)
    with pytest.raises(
        MissingExtraError, match=r'matplotlib must be installed: pip install "advprop\[plot\]"'
    ):
        plot_runs(runs)


def test_the_callers_style_stays(runs):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plot_runs(runs)
    assert dict(matplotlib.rcParams) == before
