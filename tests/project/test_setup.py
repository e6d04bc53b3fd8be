"""Set-up and serving from a clean folder: what is done once, and one clear line where it cannot be done."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import setup


@pytest.fixture
def clone(tmp_path: Path, root: Path) -> Path:
    """A fresh copy of what set-up reads, in a path with a space."""
    clone = tmp_path / "a clone"
    shutil.copytree(root / "scripts", clone / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(root / name, clone)
    return clone


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make as a reader does, without the settings of the make that runs this test."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    inherited.pop("MFLAGS", None)
    command = ["make", "--no-print-directory", *arguments]
    settings = {**inherited, **environment}
    return subprocess.run(command, cwd=clone, env=settings, capture_output=True, text=True, check=False)


def complaints(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what a failed command says, apart from make's own line about it."""
    assert result.returncode != 0
    return [line for line in result.stderr.splitlines() if not line.startswith("make")]


def fake_python(folder: Path, version: str) -> Path:
    """Return a command that answers as a Python of this version."""
    path = folder / "python3"
    status = int(tuple(map(int, version.split("."))) < (3, 11))
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit 0\nexit {status}\n')
    path.chmod(0o755)
    return path


def test_an_old_python_is_named_in_one_line(clone: Path) -> None:
    old = fake_python(clone, "3.8.1")
    (line,) = complaints(make(clone, "setup", f"PYTHON={old}"))
    assert "must be Python 3.11 or newer; found Python 3.8.1" in line


def test_an_old_python_on_the_path_is_named_in_one_line(clone: Path, tmp_path: Path) -> None:
    fake_python(tmp_path, "3.9.2")
    for name in ("sh", "make"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    (line,) = complaints(make(clone, "setup", PATH=str(tmp_path), PYTHON=""))
    assert "Python 3.11 or newer is needed; found Python 3.9.2" in line


def test_a_name_with_nothing_behind_it_is_passed_over(clone: Path, tmp_path: Path) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3.12").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": ""}
    command = ["sh", "scripts/find_python.sh"]
    found = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "python3.12\n"


@pytest.mark.slow
def test_no_network_is_told_in_one_line_and_tried_again(clone: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    for _ in range(2):
        (line,) = complaints(make(clone, "setup", PYTHON=sys.executable, **nowhere))
        assert "cannot download from the package index; is there a network?" in line
    assert not (clone / setup.STAMP).exists()


@pytest.fixture
def environment(clone: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Set-up in a clean folder, with the two expensive steps replaced; returns the log of their calls."""
    calls: list[str] = []

    def create() -> None:
        calls.append("create")
        setup.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        setup.PYTHON.unlink(missing_ok=True)
        setup.PYTHON.symlink_to(sys.executable)

    monkeypatch.setattr(setup, "ROOT", clone)
    monkeypatch.setattr(setup, "create", create)
    monkeypatch.setattr(setup, "install", lambda: calls.append("install"))
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.chdir(clone)
    return calls


def test_the_second_time_does_nothing(environment: list[str]) -> None:
    assert [setup.main(), setup.main()] == [0, 0]
    assert environment == ["create", "install"]


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_is_installed_into_what_there_is(environment: list[str], name: str) -> None:
    setup.main()
    Path(name).write_text(Path(name).read_text() + "# changed\n")
    assert setup.main() == 0
    assert environment == ["create", "install", "install"]


def test_an_interrupted_set_up_is_made_anew(
    environment: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(setup, "install", interrupt)
        assert setup.main() == 130
    assert capsys.readouterr().err == "setup: interrupted; run the same command again to finish.\n"
    assert setup.main() == 0
    assert environment == ["create", "create", "install"]


def test_an_environment_that_cannot_run_here_is_made_anew(
    environment: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.main()
    setup.PYTHON.unlink()
    setup.PYTHON.symlink_to("gone")
    setup.main()
    stamp = json.loads(setup.STAMP.read_text())
    setup.STAMP.write_text(json.dumps({**stamp, "root": "elsewhere", "made_from": "moved"}))
    setup.main()
    monkeypatch.setenv("PYTHON", "another")
    setup.STAMP.write_text(json.dumps({**stamp, "python": "another version"}))
    setup.main()
    assert environment == ["create", "install"] * 4


def test_the_pinned_uv_comes_with_its_hashes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    first, *others = setup.locked("uv").strip().splitlines()
    assert first.startswith("uv==")
    assert sum("--hash=sha256:" in line for line in others) > 1
    with pytest.raises(setup.SetupError, match="does not name nothing; renew it with: make lock"):
        setup.locked("nothing")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use_is_told_in_one_line_before_anything_is_built(clone: Path, taken: int) -> None:
    result = make(clone, "serve", f"PORT={taken}", f"PYTHON={sys.executable}")
    (line,) = complaints(result)
    assert f"port {taken} cannot be used" in line
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("port", ["http", "99999", "-1"])
def test_a_port_that_is_none_is_told_in_one_line(clone: Path, port: str) -> None:
    (line,) = complaints(make(clone, "serve", f"PORT={port}", f"PYTHON={sys.executable}"))
    assert "must be a number from 1 to 65535" in line


def test_serves_what_the_command_built_and_prints_the_address(clone: Path) -> None:
    build = "mkdir site && cd site && echo home > index.html && echo missing > 404.html"
    build += r" && printf '/*\n  X-Frame-Options: DENY\n' > _headers"
    command = [sys.executable, "scripts/serve.py", "0", "sh", "-c", build]
    with subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().split()[4]
            with urllib.request.urlopen(address, timeout=10) as answer:
                assert (answer.read(), answer.headers["X-Frame-Options"]) == (b"home\n", "DENY")
            with pytest.raises(urllib.error.HTTPError) as missing:
                urllib.request.urlopen(f"{address}/nothing", timeout=10)
            with missing.value as answer:
                assert (answer.code, answer.read()) == (404, b"missing\n")
        finally:
            server.terminate()


def test_a_build_that_fails_is_not_served(clone: Path) -> None:
    command = [sys.executable, "scripts/serve.py", "0", "sh", "-c", "exit 3"]
    result = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False, timeout=20)
    assert (result.returncode, result.stdout) == (3, "")


def test_an_interrupted_build_ends_without_a_traceback(clone: Path) -> None:
    command = [sys.executable, "scripts/serve.py", "0", "sh", "-c", "echo building; exec sleep 20"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=clone, text=True, start_new_session=True, **pipes) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "building\n"
        os.killpg(server.pid, signal.SIGINT)
        try:
            _, complaint = server.communicate(timeout=20)
        finally:
            server.kill()
    assert (server.returncode, complaint) == (130, "")


def test_help_lists_the_commands(clone: Path) -> None:
    listing = make(clone, "help").stdout
    for name in ("serve", "test", "lint", "notebooks", "lock"):
        assert f"make {name} " in listing
