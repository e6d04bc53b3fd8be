"""The built site for tests: built once, its code blocks, and processes to run them in.

`python -m tests.site_tools` is the process that blocks run in: it imports what they all import, then forks
for each, so that a block starts clean and without waiting for torch. A block of bash is a script of its own.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from filelock import FileLock

from scripts.audit import INSTALL, chromium

ROOT = Path(__file__).resolve().parent.parent
RUN_LANGUAGES = ("python", "pycon", "bash")
SHOWN_LANGUAGES = ("text", "BibTeX", "yaml", "toml", "json", "markdown", "diff")  # nobody runs these
CPU_SECONDS = 300  # of a block, before it is stopped

# As they are called where the package is installed: `advprop train`, `python program.py`, `torchrun ...`.
COMMANDS = {
    "advprop": '"$PYTHON" -m advprop "$@"',
    "python": '"$PYTHON" "$@"',
    "torchrun": '"$PYTHON" -m torch.distributed.run "$@"',
}


@dataclass(frozen=True)
class Block:
    """A code block as a reader sees it.

    Attributes:
        where: Page and heading.
        language: What it is highlighted as.
        code: Its text.
        skip: Why it is not run, as its source says; empty if it is run.
    """

    where: str
    language: str
    code: str
    skip: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of running a block, and the seconds of CPU time that it took."""

    status: int
    output: str
    seconds: float


def needed_chromium() -> str:
    """The browser's program; without it a test is skipped, and fails in CI."""
    program = chromium()
    if program is None:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(f"there is no Chromium; install it: {INSTALL}")
    return program


def copied_checkout(copy: Path) -> Path:
    """A copy of what the site is made of, without notebooks."""
    skip = shutil.ignore_patterns("__pycache__", "*.ipynb")
    for name in ("advprop", "docs", "snippets", "scripts", "notebooks"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    records = Path(".cache", "verification")
    if (ROOT / records).is_dir():
        shutil.copytree(ROOT / records, copy / records)
    for name in ("mkdocs.yml", "pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def build(docs: Path, site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(site), *options]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=docs, env=environment, capture_output=True, text=True, check=False)


def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly once for all workers; `SITE_DIR` names one that is built already."""
    if given := os.environ.get("SITE_DIR"):
        return Path(given).resolve()
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    site, done = shared / "site", shared / "site.log"
    with FileLock(shared / "site.lock"):
        if not done.exists():
            result = build(ROOT, site, "--strict")
            done.write_text(f"{result.returncode}\n{result.stdout}{result.stderr}", encoding="utf-8")
    status, _, log = done.read_text(encoding="utf-8").partition("\n")
    assert status == "0", f"the site does not build:\n{log}"
    return site


def page_path(site: Path, page: str) -> Path:
    """The HTML file of a page such as `models/advprop`."""
    return site / page / "index.html"


def soup_of(path: Path) -> BeautifulSoup:
    """The parsed HTML of a page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def code_blocks(page: str, soup: BeautifulSoup) -> list[Block]:
    """Every code block of a page, in order, whether it is in a tab or not."""
    article = soup.find("article")
    assert isinstance(article, Tag), f"{page} has no article"
    found = []
    for code in article.select("pre > code"):
        if code.find_parent(class_=["doc-signature", "mkdocstrings-source"]):
            continue  # the library's own source, in its reference
        box = code.find_parent("div", class_="highlight")
        classes = (
            [] if box is None else [name for each in [box, *box.parents] for name in each.get("class", [])]
        )
        language = next(
            (name.removeprefix("language-") for name in classes if name.startswith("language-")), ""
        )
        heading = code.find_previous(re.compile("h[1-4]"))
        where = f"{page}: {heading.get_text().rstrip('#') if heading else ''}"
        skip = "" if box is None else str(box.get("data-skip") or "")
        found.append(Block(where, language, code.get_text(), skip))
    return found


class Folders:
    """Where the blocks of a page run.

    Each program starts in an empty folder, since a reader pastes it into an empty file. Blocks of bash go on
    in one folder, in their order, as in a reader's terminal; on a guide programs do, too.

    Args:
        base: Folder for those of a page.
        guide: Whether the page is a guide.
    """

    def __init__(self, base: Path, guide: bool = False) -> None:
        self.base = base
        self.guide = guide
        self.number = 0

    def of(self, block: Block) -> Path:
        """The folder of the page's next block."""
        self.number += 1
        shared = self.guide or block.language == "bash"
        folder = self.base / ("shared" if shared else str(self.number))
        folder.mkdir(exist_ok=shared)
        return folder


class Runner:
    """A warm process that runs blocks, each in a fork of its own.

    Args:
        environment: Of the process; says where the hub is.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.site_tools"],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, block: Block, folder: Path, *, tiny: bool) -> Outcome:
        """Run a block in a folder; `tiny` makes EfficientNets tiny ones."""
        assert self.process.stdin
        assert self.process.stdout
        job = {"code": block.code, "language": block.language, "folder": str(folder), "tiny": tiny}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process that runs blocks has ended"
        return Outcome(**json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def make_tiny(factor: float = 0.1) -> None:
    """From here on, all EfficientNets of this process are narrow and shallow and see small images."""
    from timm.models import _registry, efficientnet

    original = efficientnet._gen_efficientnet

    def tiny(variant: str, *args: object, **kwargs: object) -> object:
        return original(variant, *args, **kwargs | {"channel_multiplier": factor, "depth_multiplier": factor})

    efficientnet._gen_efficientnet = tiny
    for name, config in _registry._model_pretrained_cfgs.items():
        if name.startswith("tf_efficientnet_b"):
            channels, *sides = config.input_size
            small = (channels, *(side // 4 for side in sides))
            _registry._model_pretrained_cfgs[name] = replace(config, input_size=small)


def warm_up() -> None:
    """Import what the blocks import, and let the exporter read its tables: each fork has them then."""
    for name in (
        "advprop.data",
        "onnxruntime",
        "onnxscript",
        "sklearn.datasets",
        "torch.onnx",
        "torch.export",
    ):
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        model = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1), torch.nn.SiLU()).eval()
        torch.onnx.export(model, (torch.zeros(1, 1, 2, 2),), str(Path(folder, "model.onnx")), dynamo=True)


def serve() -> None:
    """Answer jobs, one JSON object a line."""
    warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        with Path(job["folder"]).with_suffix(".log").open("w+b") as log:
            child = os.fork()
            if child == 0:
                os._exit(_child(job, log.fileno()))
            _, ended, used = os.wait4(child, 0)
            log.seek(0)
            output = log.read().decode(errors="replace")
        seconds = used.ru_utime + used.ru_stime
        outcome = Outcome(os.waitstatus_to_exitcode(ended), output, seconds)
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()


def _child(job: dict[str, str], log: int) -> int:
    for stream in (1, 2):
        os.dup2(log, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["folder"])
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    status = 0
    try:
        if job["tiny"]:
            make_tiny()
        _execute(job["language"], job["code"])
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


def _execute(language: str, code: str) -> None:
    if language == "python":
        exec(compile(code, "block.py", "exec"), {"__name__": "__main__"})
    elif language == "pycon":
        test = doctest.DocTestParser().get_doctest(code, {}, "block", "block", 0)
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test)
        if result.failed:
            raise AssertionError(f"{result.failed} of {result.attempted} examples fail")
    else:
        with tempfile.TemporaryDirectory() as commands:
            for name, script in COMMANDS.items():
                command = Path(commands, name)
                command.write_text(f"#!/bin/sh\nexec {script}\n", encoding="utf-8")
                command.chmod(0o755)
            path = f"{commands}{os.pathsep}{os.environ['PATH']}"
            environment = os.environ | {"PYTHON": sys.executable, "PATH": path}
            subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=True, env=environment)


@contextlib.contextmanager
def running(environment: dict[str, str]) -> Iterator[Runner]:
    """A runner that ends with the block."""
    runner = Runner(environment)
    try:
        yield runner
    finally:
        runner.close()


if __name__ == "__main__":
    serve()
