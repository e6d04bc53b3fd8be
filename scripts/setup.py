"""Make `.venv` from `requirements.lock`; make runs this before everything else.

The standard library is enough. A stamp is written last: an environment without one is half made and is made
anew, one with the stamp of an older lock is brought up to date, and one that is current costs no time.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup.json"
LOCK = Path("requirements.lock")
CACHE = Path(".cache")
LOG = CACHE / "setup.log"


class SetupError(Exception):
    """What went wrong and what to do about it, in one line."""


def main() -> int:
    """Bring the environment up to date and return the exit status."""
    os.chdir(ROOT)
    CACHE.mkdir(exist_ok=True)
    try:
        with (CACHE / "setup.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two makes at once: the second waits and finds the work done
            bring_up_to_date()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run the same command again to finish.", file=sys.stderr)
        return 130
    return 0


def made_from() -> str:
    """Return a digest of what the environment depends on: lock, metadata, and the place it stands in."""
    parts = (str(ROOT).encode(), LOCK.read_bytes(), Path("pyproject.toml").read_bytes())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def read_stamp() -> dict[str, str]:
    """Return the stamp of a finished environment, or nothing where there is none that runs."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if os.access(PYTHON, os.X_OK) else {}


def bring_up_to_date() -> None:
    """Create the environment, or bring an older one up to the lock, and stamp it, unless it is current."""
    stamp = read_stamp()
    wanted = {"root": str(ROOT)} | ({"python": sys.version} if os.environ.get("PYTHON") else {})
    usable = wanted.items() <= stamp.items()
    if usable and stamp.get("made_from") == made_from():
        return
    if not usable:
        create()
        stamp = {"root": str(ROOT), "python": sys.version}
    STAMP.unlink(missing_ok=True)
    install()
    STAMP.write_text(json.dumps(stamp | {"made_from": made_from()}) + "\n")


def create() -> None:
    """Make a new environment with the locked uv in it."""
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"{sys.executable} cannot make environments. "
            "Install Debian's python3-venv, or name another Python: make PYTHON=/path/to/python3"
        )
    print("setup: making .venv; the first time downloads PyTorch and takes some minutes", flush=True)
    pinned = CACHE / "uv.txt"
    pinned.write_text(locked("uv"))
    patience = ["--retries=1", "--timeout=20", "--disable-pip-version-check"]
    uv = [*patience, "--no-deps", "--require-hashes", "-r", str(pinned)]
    no_network = "cannot download from the package index; is there a network?"
    with LOG.open("w") as log:
        run([sys.executable, "-m", "venv", "--clear", str(VENV)], "cannot make .venv", log)
        run([str(PYTHON), "-m", "pip", "install", *uv], no_network, log)


def locked(name: str) -> str:
    """Return the lines of one package in the lock: its version and hashes."""
    found = re.search(rf"(?ms)^{re.escape(name)}==.*?(?=^\S|\Z)", LOCK.read_text("utf-8"))
    if found is None:
        raise SetupError(f"{LOCK} does not name {name}; renew it with: make lock")
    return found.group()


def install() -> None:
    """Install what the lock names, and nothing else, then the project itself in editable form."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]  # on a terminal: progress of the large downloads
    no_lock = f"could not install what {LOCK} names (see above); is there a network?"
    no_project = "could not install the project itself (see above); look at pyproject.toml"
    itself = ["--quiet", "--no-deps", "--no-build-isolation", "--offline", "-e", "."]
    uv_pip, here = [str(PYTHON), "-m", "uv", "pip"], ["--python", str(PYTHON)]
    run([*uv_pip, "sync", *quiet, "--require-hashes", str(LOCK), *here], no_lock)
    run([*uv_pip, "install", *itself, *here], no_project)


def run(command: list[str], problem: str, log: TextIO | None = None) -> None:
    """Run a command, with its output in a log if there is one; raise a SetupError if it fails."""
    if subprocess.run(command, stdout=log, stderr=log, check=False).returncode:
        raise SetupError(f"{problem} (details in {LOG})" if log else problem)


if __name__ == "__main__":
    sys.exit(main())
