"""The hosted workflows: what the host would refuse, and what would let others in."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml


@pytest.fixture(autouse=True)
def in_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program that is installed beside this Python."""
    command = [Path(sys.executable).with_name(program), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [("vendor.github-workflows", ".github/workflows/*.yml"), ("vendor.dependabot", ".github/dependabot.yml")],
)
def test_the_host_understands_them(schema: str, pattern: str) -> None:
    files = sorted(map(str, Path().glob(pattern)))
    assert files
    done = run("check-jsonschema", "--builtin-schema", schema, *files)
    assert done.returncode == 0, done.stdout


def test_they_let_nobody_in() -> None:
    """Actions are pinned by hash, permissions are few, nothing from outside gets into a shell."""
    done = run("zizmor", "--offline", "--quiet", "--min-severity", "high", ".github")
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_of_their_steps_are_there(root: Path) -> None:
    targets = (root / "Makefile").read_text(encoding="utf-8")
    called = set()
    for path in (root / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            lines = "\n".join(step.get("run", "") for step in job["steps"]).splitlines()
            called |= {line.split()[1] for line in lines if line.strip().startswith("make ")}
            parsed = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=False)
            assert parsed.returncode == 0, path
    assert called >= {"gpu", "publish", "setup"}
    assert all(f"\n{target}: " in targets for target in called)
