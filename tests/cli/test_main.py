import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from advprop.cli.main import main
from advprop.cli.parser import parse
from advprop.cli.train import Train
from advprop.runs import directory as runs

COMMANDS = ("train", "plot", "evaluate", "predict", "export", "models", "snippet", "verify")
SHORT = ["--epochs", "1", "--train-images", "40", "--batch-size", "20"]


def lines(text):
    return text.strip().splitlines()


def run(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "advprop", *words], capture_output=True, text=True, timeout=120, **more
    )


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_help_names_the_commands_and_what_they_do(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"[•*] {command} +[A-Z]", shown)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    options = re.split(r"\n  (?=--[a-z]|\[)", shown)[1:]
    assert options or command == "models"
    assert [each for each in options if len(re.findall(r"[a-z]{3,}", each)) < 4] == []
    assert max(map(len, lines(shown))) <= 100
    assert "\n\n\n" not in shown


def test_options_start_from_the_data_the_method_and_the_recipe():
    assert parse(["train"]).method.eps == 0.2
    assert parse(["train", "--data", "elsewhere"]).method.eps == 4 / 255
    assert parse(["train", "--method=fast"]).method.target == "none"
    command = parse(["train", "--recipe", "card:tf_efficientnet_b0_ap", "--eps", "2/255"])
    assert (command.method.eps, command.optimizer.opt_args) == (2 / 255, {"alpha": 0.9, "eps": 0.001})
    assert parse(["train", "--opt-args", "alpha", "1/2"]).optimizer.opt_args == {"alpha": 0.5}
    assert parse(["train", "--opt-args"]).optimizer.opt_args == {}
    Path("recipe.yaml").write_text("epochs: 3\nlr: 0.5\n")
    command = parse(["train", "--recipe", "recipe.yaml", "--lr", "1/4", "--eps", "8/255"])
    command = parse(["train", "--recipe", "card:tf_efficientnet_b0_ap", "recipe.yaml", "--lr", "0.1"])
    assert isinstance(command, Train)
    found = command.optimizer
    assert (found.momentum, found.epochs, found.lr) == (0.9, 3, 0.1)  # of the card, the file, the options
    assert found.opt == "rmsproptf"
    command = parse(["train", "--recipe", "recipe.yaml", "--lr", "1/4", "--eps", "8/255"])
    assert isinstance(command, Train)
    assert (command.optimizer.epochs, command.optimizer.lr, command.method.eps) == (3, 0.25, 8 / 255)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"Expected one of \{train, "),
        (["trian"], "Unrecognized options: trian"),
        (["train", "--epoch", "3"], r"--epoch, 3; did you mean --epochs or "),
        (["train", "--eps", "x"], "--eps: could not convert string to float: 'x'"),
        (["train", "--opt-args", "alpha"], "--opt-args: expected a number after each name, got alpha"),
        (["train", "--eps", "1/x"], "--eps: expected a number such as 0.1 or 4/255, got '1/x'"),
        (["train", "--method", "foo"], "invalid choice 'foo' for argument '--method'"),
        (["train", "--epochs", "0"], "epochs must be 1 or more, got 0"),
        (["train", "--recipe", "none.yaml"], "cannot read the recipe none.yaml: No such file"),
        (["train", "--model", "resnet5"], "no model 'resnet5'; did you mean resnet"),
        (["train", "--data", "nowhere"], "no data 'nowhere'"),
        (["evaluate", "nowhere"], "nowhere is not the directory of a run"),
        (["models", "tf_efficientnet_b9_ap"], "no card for the model 'tf_efficientnet_b9_ap'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, message, capsys):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(lines(shown.err)) == 1
    assert re.match(rf"advprop: error: .*{message}", shown.err)


@pytest.mark.parametrize("word", ["none", "None", "NONE"])
def test_words_for_nothing_are_taken_in_any_case(word):
    settings = ("--scale", "--data-dir", "--image-size", "--target", "--severities", "--freeze", "--out")
    command = parse(["train", *(each for name in settings for each in (name, word))])
    assert (command.augment.scale, command.data.data_dir, command.data.image_size) == (None, None, None)
    assert (command.method.target, command.run.severities, command.model.freeze) == ("none", (), ())
    assert command.out is None
    assert parse(["train", "--recipe", word]).recipe == ()
    assert parse(["evaluate", "run", "--eps", word]).eps == ()
    assert parse(["train", "--severities", "2", "4"]).run.severities == (2, 4)


def test_a_box_of_lines_becomes_a_line_as_well():
    shown = run("train", "--epoch", "3", env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    assert (
        shown.stderr
        == "advprop: error: Unrecognized options: --epoch, 3; did you mean --epochs or --decay-epochs?\n"
    )


def test_a_bug_shows_its_traceback_on_request(monkeypatch):
    monkeypatch.setenv("ADVPROP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="epochs must be 1 or more"):
        main(["train", "--epochs", "0"])


def test_train_compares_and_evaluate_goes_on(capsys):
    assert main(["train", "--compare", *SHORT]) == 0
    shown = capsys.readouterr()
    table = lines(shown.out)
    heads = ["method", "clean", "95 % interval", "corrupted", "noise", "blur", "weather", "digital"]
    assert re.split("  +", table[0]) == heads
    for line, method in zip(table[1:3], ("standard", "advprop"), strict=True):
        assert re.fullmatch(rf"{method} +\d+\.\d +\d+\.\d to \d+\.\d +(\d+\.\d *){{5}}", line)
        assert re.search(rf"{method}: \d+ s, in runs/digits-{method}$", shown.out, re.MULTILINE)
    assert "1757 test images; corrupted: mean over 15 kinds, severity 3" in shown.out
    clean = runs.Run(Path("runs/digits-advprop")).results()["clean"]["top1"]
    assert float(table[2].split()[1]) == round(100 * clean, 1)

    words = ["evaluate", "runs/digits-advprop", "--severities", "1", "--eps", "4/255", "0.1"]
    assert main([*words, "--steps", "1", "2"]) == 0
    shown = capsys.readouterr().out
    assert f"clean: {100 * clean:.1f} %" in shown
    assert "\n\naccuracy in % on corrupted images\nseverity " in shown
    assert "\n\naccuracy in % on attacked images (untargeted PGD, linf)\neps " in shown
    assert re.search(r"^severity +1 +mean$", shown, re.MULTILINE)
    assert re.search(r"^fog +\d+\.\d +\d+\.\d$", shown, re.MULTILINE)
    assert re.search(r"^eps +1 steps +2 steps\n4/255 .*\n0.1 ", shown, re.MULTILINE)

    assert main(["evaluate", "runs/digits-advprop", "--severities", "--branch", "adv"]) == 0
    assert f"clean: {100 * clean:.1f} %" not in capsys.readouterr().out
    assert main(["evaluate", "runs/digits-standard", "--branch", "adv"]) == 2


def test_a_directory_that_is_taken_is_told_with_the_way_out(capsys):
    words = ["train", "--out", "here", "--severities", *SHORT]
    assert main(words) == 0
    assert main(words) == 2
    assert "go on with it (--resume), or choose another directory (--out)" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert main([*words, "--resume", "--seed", "1"]) == 2
    assert "another recipe (seed: 0, now 1)" in capsys.readouterr().err


def test_a_run_is_resumed_by_its_own_recipe(capsys):
    assert main(["train", "--out", "here", "--severities", "--lr", "0.05", *SHORT]) == 0
    assert "the learning rate rises over all 1 epochs: warmup_epochs is 5" in capsys.readouterr().err
    before = runs.Run(Path("here")).results()["clean"]
    assert main(["train", "--resume", "--out", "here"]) == 0
    assert runs.Run(Path("here")).results()["clean"] == before
    assert main(["train", "--resume", "--out", "here", "--lr", "0.1"]) == 2
    assert "another recipe (lr: 0.05, now 0.1); resume it with its own" in capsys.readouterr().err


def test_a_full_disk_is_status_1(capsys, monkeypatch):
    def full(self, text, encoding):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["train", "--out", "here", *SHORT]) == 1
    told = lines(capsys.readouterr().err)[-1]
    assert told == "advprop: error: cannot write here/recipe.yaml: No space left on device"


def test_a_missing_package_is_status_1(capsys, monkeypatch):
    monkeypatch.setattr("advprop.runtime.optional.find_spec", lambda package: None)
    assert main(["train", "--log", "tensorboard", *SHORT]) == 1
    told = lines(capsys.readouterr().err)[-1]
    assert told == 'advprop: error: tensorboard must be installed: pip install "advprop[tensorboard]"'
    assert not list(Path().iterdir())


def test_models_and_verify_show_the_cards(capsys):
    assert main(["models"]) == 0
    assert capsys.readouterr().out.count(".ap_in1k") == 9
    assert main(["models", "tf_efficientnet_b4_ap"]) == 0
    assert re.search(r"^Image Size +380 ", capsys.readouterr().out, re.MULTILINE)
    assert main(["verify", "tf_efficientnet_b0_ap", "--json", "record.json"]) == 0
    assert "488,688,572" in capsys.readouterr().out
    assert Path("record.json").exists()


def test_a_snippet_is_printed_as_it_stands(capsys):
    assert main(["snippet", "predict_timm", "--model", "tf_efficientnet_b4_ap"]) == 0
    program = capsys.readouterr().out
    assert 'timm.create_model("tf_efficientnet_b4.ap_in1k", pretrained=True)' in program
    compile(program, "snippet", "exec")
    assert main(["snippet", "predit"]) == 2
    assert "no snippet 'predit'; did you mean predict" in capsys.readouterr().err


def test_version_and_module():
    shown = run("--version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.fullmatch(r"advprop \d+\.\d+\.\d+\n", shown.stdout)


def test_ctrl_c_and_sigterm_leave_with_the_conventional_status():
    for number in (signal.SIGINT, signal.SIGTERM):
        out = f"run-{number}"
        words = [
            sys.executable,
            "-m",
            "advprop",
            "train",
            "--epochs",
            "10000",
            "--test-every",
            "10000",
            "--out",
            out,
        ]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while not runs.Run(Path(out)).metrics():
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(number)
            told = lines(process.communicate()[1])
        assert process.returncode == 128 + number
        assert told[-1] == f"advprop: stopped by {number.name}; --resume --out {out} goes on"
        assert all(re.match(r"training |faster, |epoch \d+/10000: .* left$", each) for each in told[:-1])


def announced(text):
    """The line with what a run is and how long it will take."""
    [line] = [line.strip() for line in text.splitlines() if line.strip().startswith("training ")]
    return line


def test_a_terminal_shows_a_bar_and_nothing_else_does():
    inside, outside = pty.openpty()
    fcntl.ioctl(outside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    words = [sys.executable, "-m", "advprop", "train", "--severities", "--out", "a", *SHORT]
    with subprocess.Popen(
        words, stdout=outside, stderr=outside, env=os.environ | {"COLUMNS": "80"}
    ) as process:
        os.close(outside)
        shown = b""
        while select.select([inside], [], [], 300)[0]:
            try:
                shown += os.read(inside, 10_000)
            except OSError:
                break
    assert process.returncode == 0
    text = shown.decode()
    assert "\r" in text
    assert re.search(r"\repoch 1/1, \d\d:\d\d left \|.+\| run \d\d:\d\d left", text)
    assert re.search(r"\repoch 1/1, 00:00 left \|█+\| run 00:00 left, test [\d.]+ %, clean \d", text)
    drawn = text.partition("method  ")[0].replace(announced(text), "")
    assert max(map(len, re.split(r"[\r\n]+", drawn))) <= 80
    plain = run("train", "--severities", "--out", "b", *SHORT)
    assert "\r" not in plain.stderr
    line = r"^epoch 1/1: clean [\d.]+, adv [\d.]+, test [\d.]+ %, \d+ images/s$"
    assert re.search(line, plain.stderr, re.MULTILINE)
    assert announced(plain.stderr).startswith(
        "training advprop_convnet (advprop) on cpu (1 thread): 40 training and 1757 test images of 10 "
        "classes; 1 epoch will take about "
    )
    assert lines(plain.stdout)[0] == "method   clean  95 % interval"


def test_a_reader_that_goes_away_is_no_error():
    shown = subprocess.run(
        f"{shlex.quote(sys.executable)} -m advprop models | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.stderr == ""
    assert shown.returncode in (0, 141)
