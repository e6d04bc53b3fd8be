"""An environment like a reader's: the wheel and what it needs, no checkout, a folder that is read-only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient

from scripts.notebook_cache import MAY_FAIL, NOT_RUN, tags_of

CELL_SECONDS = 600
# Without these, root is held by the permissions of files, too.
_POWERS = "-dac_override,-dac_read_search,-fowner"


@dataclass(frozen=True)
class Reader:
    """Somebody who has Python, and what `pip install advprop` brings, or will bring.

    Attributes:
        folder: Where the environment is.
        python: Its interpreter.
        environment: What its processes see.
    """

    folder: Path
    python: Path
    environment: dict[str, str]

    def run(self, code: str, folder: Path, language: str = "python") -> subprocess.CompletedProcess[str]:
        """Paste a program into a file, or commands into a terminal, and run it there."""
        if language == "python":
            program = folder / "pasted.py"
            program.write_text(code, encoding="utf-8")
            command = [str(self.python), program.name]
        else:
            command = ["bash", "-euo", "pipefail", "-c", code]
        return subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def run_notebook(self, path: Path, folder: Path) -> nbformat.NotebookNode:
        """Run all cells of a notebook in a folder that cannot be written to, by a kernel of another name.

        Raises:
            CellExecutionError: If a cell fails that is not meant to.
        """
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if MAY_FAIL in tags_of(cell) or NOT_RUN in tags_of(cell):
                cell.metadata["tags"] = [MAY_FAIL]
        notebook.metadata["kernelspec"] = {"name": "another", "display_name": "Another", "language": "python"}
        folder.chmod(0o555)
        with patch.dict(os.environ, self.environment, clear=True):
            client = NotebookClient(
                notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(folder)}}
            )
            executed: nbformat.NotebookNode = client.execute()
        return executed


def new_reader(root: Path, folder: Path, *, installed: bool) -> Reader:
    """An environment that was just made.

    Args:
        root: The checkout that the wheel is built from.
        folder: An empty folder.
        installed: Whether the package is installed, with all its extras; else what it needs is there, and the
            first cell of a notebook installs the package itself.
    """
    dist, base, own, home = (folder / name for name in ("dist", "base", "own", "home"))
    home.mkdir()
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist), cwd=root)
    (wheel,) = dist.glob("*.whl")
    _run(sys.executable, "-m", "uv", "venv", "--python", sys.executable, str(base))
    needed = (
        [f"advprop[onnx,plot,photos,hfds,wds,tensorboard,lightning] @ {wheel.as_uri()}"]
        if installed
        else ["-r", "pyproject.toml"]
    )
    pip = (sys.executable, "-m", "uv", "pip", "install", "--python", str(base / "bin" / "python"))
    _run(*pip, *needed, "ipykernel", cwd=root)
    _run(sys.executable, "-m", "venv", str(own))
    site_packages = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (own / site_packages / "base.pth").write_text(f"{base / site_packages}\n")
    python = own / "bin" / "python"
    links = " ".join(filter(None, (str(dist), os.environ.get("PIP_FIND_LINKS"))))
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    environment |= {
        "HOME": str(home),
        "PATH": f"{own / 'bin'}{os.pathsep}{base / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_FIND_LINKS": links,
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "JUPYTER_PATH": str(folder / "jupyter"),
        "OMP_NUM_THREADS": "1",
    }
    _write_kernel(folder / "jupyter" / "kernels" / "another", python)
    return Reader(folder, python, environment)


def _write_kernel(folder: Path, python: Path) -> None:
    held = ["setpriv", "--bounding-set", _POWERS] if os.geteuid() == 0 and shutil.which("setpriv") else []
    spec: dict[str, Any] = {
        "argv": [*held, str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Another",
        "language": "python",
    }
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
