"""What the programs on the model pages print, for the pages: `.venv/bin/python -m scripts.snippet_outputs`.

Each program of a model whose weights are at hand, from a package or from a hub that answers, is run as a
reader would, in a process and a folder of its own. A program of other weights has no output: none is made up.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from advprop.cards import load_model_index, snippet, snippet_names, snippets_of
from scripts.surroundings import ROOT, circumstances, hub, write_record

RECORD = ROOT / "docs" / "measured" / "snippet_outputs.json"


def main() -> None:
    """Run all, and write what they print."""
    cards = load_model_index().models
    # Models of a package have programs of their own.
    at_hand = [card.name for card in cards if hub() or snippets_of(card.collection)]
    programs = [(model, name) for model in at_hand for name in snippet_names(model)]
    found = circumstances("cpu")
    printed = [ran(model, name) for model, name in tqdm(programs, "running")]
    write_record(RECORD, found | {"printed": printed})


def ran(model: str, name: str) -> dict[str, Any]:
    """Run a program; return it with what it printed.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    code = snippet(name, model)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(code, encoding="utf-8")
        command = [sys.executable, "program.py"]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    return {"model": model, "snippet": name, "code": code, "output": done.stdout}


if __name__ == "__main__":
    main()
