"""What a test says to a person: confused classes, the files that are wrong, a command that works."""

import csv
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from advprop import train
from advprop.cli.main import main
from advprop.data import Batches, TensorSet
from advprop.evaluation import Accuracy, Answers
from advprop.figures import plot_report
from advprop.inference.load import trained
from advprop.recipes.recipe import make_recipe
from advprop.runs import Report, report_table
from advprop.training import loop as loops
from tests.conftest import contents

HEADS = ["image", "label", "answer", "confidence"]


def report_of(labels, classes, names=str, shape=(3, 4, 6)):
    """A report of made-up answers, of falling confidence."""
    labels, classes = torch.tensor(labels), torch.tensor(classes)
    right = float((labels == classes).float().mean())
    answers = Answers(
        accuracy=Accuracy(top1=right, top5=1.0, n=len(labels), loss=1.0),
        numbers=torch.arange(len(labels)),
        labels=labels,
        classes=classes,
        confidences=torch.linspace(0.9, 0.1, len(labels)),
    )
    return Report.of(answers, Batches(TensorSet(torch.rand(len(labels), *shape), labels), 10), names)


def rows(directory):
    with (directory / "wrong.csv").open(newline="") as file:
        head, *found = csv.reader(file)
    assert head == HEADS
    return found


@pytest.fixture
def run(folder_run, tmp_path):
    return shutil.copytree(folder_run.run.directory, tmp_path / "run")


def test_wrong_images_are_listed_with_their_files_the_surest_first(folder_run):
    with trained(folder_run.run.directory, "cpu") as (model, batches):
        logits = torch.cat([model(images) for images, _ in batches]).softmax(1)
        labels = torch.cat([labels for _, labels in batches])
    names = folder_run.report.images.samples.images.class_names
    sure, classes = logits.max(1)
    wrong = {n: (names[labels[n]], names[classes[n]]) for n in (classes != labels).nonzero()[:, 0].tolist()}
    assert len(wrong) == round((1 - folder_run.clean.top1) * folder_run.clean.n) > 3
    assert {each.number: (each.label, each.answer) for each in folder_run.report.wrong} == wrong
    found = rows(folder_run.run.directory)
    assert [row[:3] for row in found] == [list(each[:3]) for each in folder_run.report.wrong]
    assert [float(row[3]) for row in found] == sorted((float(row[3]) for row in found), reverse=True)
    assert float(found[0][3]) == pytest.approx(max(sure[n].item() for n in wrong), abs=1e-3)
    for image, label, *_ in found:
        assert Path(image).is_file()
        assert Path(image).parent.name == label


def test_an_image_that_cannot_be_read_moves_no_other(folder_run, digit_folders, tmp_path, capsys):
    data = shutil.copytree(digit_folders, tmp_path / "data")
    first, *_ = sorted((data / "validation" / "four").iterdir())
    first.write_bytes(b"nothing")
    words = ["evaluate", str(folder_run.run.directory), "--data", str(data), "--bad-images", "skip"]
    assert main([*words, "--severities", "none", "--workers", "0", "--out", str(tmp_path / "out")]) == 0
    expected = [[Path(row[0]).name, *row[1:3]] for row in rows(folder_run.run.directory)]
    assert [[Path(row[0]).name, *row[1:3]] for row in rows(tmp_path / "out")] == expected
    assert f"n = {folder_run.clean.n - 1})" in capsys.readouterr().out


def test_a_run_that_ends_with_a_test_is_not_tested_once_more(tmp_path, monkeypatch):
    seen = []
    evaluate = loops.evaluate_answers
    monkeypatch.setattr(
        loops, "evaluate_answers", lambda *args, **more: (seen.append(1), evaluate(*args, **more))[1]
    )
    small = make_recipe(train_images=40, epochs=4, test_every=2, severities=())
    outcome = train(small, tmp_path / "run")
    assert len(seen) == 2
    assert outcome.run.metrics()[-1]["test_top1_percent"] == 100 * outcome.clean.top1
    again = train(small, tmp_path / "run", resume=True)  # it has not seen the answers
    assert (len(seen), again.clean) == (3, outcome.clean)
    assert [each[:3] for each in again.report.wrong] == [each[:3] for each in outcome.report.wrong]


def command(shown):
    [line] = [line for line in shown.splitlines() if line.startswith("predict a picture:")]
    return shlex.split(line.partition("advprop ")[2])


def test_evaluate_shows_the_report_writes_its_files_and_a_command_that_works(run, monkeypatch, capsys):
    monkeypatch.chdir(run.parent)
    monkeypatch.setattr("shutil.which", lambda name: name)
    (run / "wrong.csv").unlink()
    assert main(["evaluate", "run", "--severities", "none"]) == 0
    shown = capsys.readouterr().out
    count = f"{len(rows(run))} of {shown.partition('n = ')[2].partition(')')[0]} test images are wrong"
    assert f"\n{count}, the surest first; run/wrong.csv lists all\n" in shown
    assert f"\nlabel  answer  sure, %  image\n{rows(run)[0][1]} " in shown
    assert "\nclass  images  right, %  taken for\n" in shown
    assert "picture of this report:  run/report.png\n" in shown
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "example.png").exists()  # a file of the data does
    assert main(command(shown)) == 0
    assert capsys.readouterr().out.startswith("image ")


def test_train_shows_it_and_images_without_files_have_an_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--train-images", "40", "--epochs", "1", "--severities", "none", "--out", "a run"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert {"report.png", "example.png", "wrong.csv"} < {path.name for path in Path("a run").iterdir()}
    assert all(row[0].startswith("image ") for row in rows(Path("a run")))
    assert command(shown) == ["predict", "a run/example.png", "--model", "a run"]
    assert main(command(shown)) == 0


def test_other_norms_and_other_data_leave_the_files_of_the_run_alone(run, digit_folders, capsys):
    before = contents(run)
    for more in (["--branch", "adv"], ["--data", str(digit_folders)]):
        assert main(["evaluate", str(run), "--severities", "none", *more]) == 0
        assert "test images are wrong, the surest first\n" in capsys.readouterr().out
    assert contents(run) == before


def test_without_matplotlib_a_line_says_what_to_install(run, monkeypatch, capsys):
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda package: None)
    assert main(["evaluate", str(run), "--severities", "none"]) == 0
    assert 'picture of this report:  needs pip install "advprop[plot]"\n' in capsys.readouterr().out


def test_where_nothing_can_be_written_the_numbers_are_shown(run, capsys):
    (run / "wrong.csv").unlink()
    (run / "wrong.csv").mkdir()
    assert main(["evaluate", str(run), "--severities", "none"]) == 0
    shown = capsys.readouterr()
    assert "test images are wrong, the surest first\n" in shown.out
    assert shown.err.startswith(f"advprop: cannot write {run}/wrong.csv: ")


def test_few_classes_are_a_matrix_also_those_without_images(tmp_path):
    report = report_of([0, 0, 1, 1, 1], [0, 0, 1, 3, 0], "abcd".__getitem__)
    assert [(row.name, row.images, row.right, row.answers) for row in report.classes] == [
        ("a", 2, 2, ()),
        ("b", 3, 1, (("d", 1), ("a", 1))),
    ]
    matrix, _ = plot_report(report, tmp_path / "report.svg").axes
    assert [text.get_text() for text in matrix.get_xticklabels()] == ["a", "b", "d"]
    assert [text.get_text() for text in matrix.get_yticklabels()] == ["a  100 %", "b  33 %"]
    assert [text.get_text() for text in matrix.texts] == ["2", "1", "1", "1"]


def test_many_classes_stay_readable():
    labels = [label for label in range(1000) for _ in range(5)]
    classes = [label + (number % 5 < label % 4) for number, label in enumerate(labels)]
    report = report_of(labels, classes, lambda label: f"a class with a long name, number {label}")
    shown = report_table(report).splitlines()
    assert shown[0] == "the 10 classes of 1000 that are most often wrong"
    assert len(shown) < 25
    assert max(map(len, shown)) <= 100
    pairs, pictures = plot_report(report).axes
    assert len(pairs.patches) == len(pictures.images) == 15
    assert [text.get_text() for text in pairs.texts] == [" 3 of 5"] * 15


def test_the_worst_classes_are_those_of_which_it_is_sure():
    labels = [0] + [1] * 20 + [2] * 20
    report = report_of(labels, [1] + [0] * 15 + [1] * 5 + [2] * 20, "abc".__getitem__)
    assert [line.split()[0] for line in report_table(report).splitlines()[1:4]] == ["b", "a", "c"]


def test_a_model_without_a_fault(tmp_path):
    report = report_of([0, 1], [0, 1])
    assert report_table(report).splitlines()[-1] == "none of 2 test images is wrong"
    assert plot_report(report).axes[1].texts[0].get_text() == "no test image is wrong"
    with pytest.raises(ValueError, match=r"must end in .svg, .png, .pdf, got report.jpg"):
        plot_report(report, "report.jpg")
