"""Every code block that a reader can copy from the built site is run as it stands there.

Weights come from a hub on 127.0.0.1 and are made here. B0 is itself; the names of the heavier sizes stand for
tiny networks of the same build, so that nine pages take minutes and not hours.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from advprop.cards.model_index import load_model_index
from advprop.cli.parser import parse
from advprop.cli.train import Train
from advprop.models import create_model, current_name
from tests.hub import serve_hub
from tests.pages.test_snippet_outputs import RENEW, alike, printed
from tests.site_tools import (
    ROOT,
    RUN_LANGUAGES,
    SHOWN_LANGUAGES,
    Block,
    Folders,
    Runner,
    built_site,
    code_blocks,
    make_tiny,
    page_path,
    running,
    soup_of,
)

MODELS = sorted(card.name for card in load_model_index().models)
NINE = sorted(card.name for card in load_model_index().members("AdvProp"))
WRITTEN = sorted(
    re.sub(r"(^|/)index$", "", path.relative_to(ROOT / "docs").with_suffix("").as_posix())
    for path in (ROOT / "docs").rglob("*.md")
    if "templates" not in path.parts
)
PAGES = WRITTEN + [f"models/{name}" for name in MODELS]
REAL = NINE[0]
BLOCKS_OF_A_MODEL = 10
MOST_NOT_RUN = 9


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process whose hub has weights for all names that are downloaded."""
    folder = tmp_path_factory.mktemp("weights")
    code = "import sys; from tests.pages.test_snippets import write_weights; write_weights(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True)
    repos = {
        f"timm/{current_name(name)}": {"model.safetensors": (folder / name).read_bytes()} for name in NINE
    }
    with serve_hub(repos, folder / "home") as environment:
        yield environment


def write_weights(folder: str) -> None:
    """Weights for each name: B0's own build, tiny ones for the others. Runs in a process of its own."""
    torch.manual_seed(0)
    for name in NINE:
        if name == NINE[1]:
            make_tiny()
        (Path(folder) / name).write_bytes(save(create_model(name).state_dict()))


@pytest.fixture(scope="module")
def runner(hub: dict[str, str]) -> Iterator[Runner]:
    """A warm process that forks for each block."""
    with running(hub | {"PYTHONWARNINGS": "default", "OMP_NUM_THREADS": "1"}) as warm:
        yield warm


def blocks_of(site: Path, page: str) -> list[Block]:
    """The blocks of a page that are code."""
    blocks = code_blocks(page, soup_of(page_path(site, page)))
    return [block for block in blocks if block.language in RUN_LANGUAGES]


def marks_of(page: str) -> list[pytest.MarkDecorator]:
    """The same programs with the names of larger models are run at night."""
    return [pytest.mark.nightly] if page.removeprefix("models/") in NINE[1:] else []


@pytest.fixture(scope="module")
def passed() -> set[tuple[str, bool]]:
    """Code that has run: the collection's page shows the same as that of its first model."""
    return set()


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(page, marks=marks_of(page)) for page in PAGES])
def test_every_block_runs(
    page: str, site: Path, runner: Runner, passed: set[tuple[str, bool]], tmp_path: Path
) -> None:
    tiny = page.removeprefix("models/") in NINE[1:]
    guide = page.startswith("guides/")
    blocks = blocks_of(site, page)
    if not guide:
        blocks = [each for each in blocks if each.language == "bash" or (each.code, tiny) not in passed]
    passed |= {(block.code, tiny) for block in blocks}
    faults = run_all(blocks, runner, tmp_path, tiny=tiny, guide=guide)
    assert not faults, "\n\n".join(faults)


def run_all(blocks: list[Block], runner: Runner, base: Path, *, tiny: bool, guide: bool = False) -> list[str]:
    """Run the blocks of a page in their order; what is wrong, by block."""
    folders, faults = Folders(base, guide), []
    for block in blocks:
        if block.skip:
            continue
        outcome = runner.run(block, folders.of(block), tiny=tiny)
        silent = not (outcome.output or guide) and block.language == "python"
        told = printed(block.code)
        if told and not (outcome.status or alike(told, outcome.output)):
            faults.append(f"{block.where} prints\n{outcome.output}\nand its page shows\n{told}\n{RENEW}")
        if outcome.status or silent:
            why = "says nothing" if silent else f"ends with {outcome.status}"
            faults.append(f"{block.where} {why}\n{block.code}\n{outcome.output}")
    return faults


PLANTED = {
    "it raises": ("names = ImageNetInfo()", "names = ImageNetInfo(1000)", "AttributeError"),
    "it does not parse": ("names = ImageNetInfo()", "names = ImageNetInfo(", "SyntaxError"),
    "a name is not defined": ("topk(5)", "topk(NUM_CLASSES)", "NameError: name 'NUM_CLASSES' is not defined"),
    "the model has another name": (f'"{REAL}"', '"tf_efficientnet_b9_ap"', "did you mean tf_efficientnet_b"),
    "its weights are not on the hub": (f'"{REAL}"', '"resnet18"', "could not be loaded"),
    "it prints nothing": ("    print(", "    str(", "says nothing"),
    "a module is missing": ("import torch", "import torchvision_models", "ModuleNotFoundError"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_a_broken_program_is_found(fault: str, site: Path, runner: Runner, tmp_path: Path) -> None:
    old, new, told = PLANTED[fault]
    block = blocks_of(site, f"models/{REAL}")[0]
    assert old in block.code
    broken = replace(block, code=block.code.replace(old, new, 1))
    (found,) = run_all([broken], runner, tmp_path, tiny=False)
    assert f"models/{REAL}: Say what is in a picture" in found
    assert told in found


@pytest.mark.slow
def test_bash_goes_on_in_a_folder_and_programs_start_afresh(runner: Runner, tmp_path: Path) -> None:
    blocks = [
        Block("made here", "bash", "mkdir made\nadvprop --version > made/version"),
        Block("left out", "bash", "exit 1", skip="needs what is not here"),
        Block("gone on with", "bash", "test -s made/version && python -c 'import advprop' && ls"),
        Block("elsewhere", "python", "import os\nprint(os.listdir())\nassert os.listdir() == []"),
    ]
    assert run_all(blocks, runner, tmp_path, tiny=False) == []
    blocks[-1] = replace(blocks[-1], code="import os\nassert os.listdir() == ['made']")
    (tmp_path / "guide").mkdir()
    assert run_all(blocks, runner, tmp_path / "guide", tiny=False, guide=True) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", ["exit 3", "false\ntrue", "false | true", "echo $UNSET_NAME", "adv_prop train"]
)
def test_a_mistake_in_bash_is_found(code: str, runner: Runner, tmp_path: Path) -> None:
    (found,) = run_all([Block("a guide", "bash", code)], runner, tmp_path, tiny=False)
    assert found.startswith(f"a guide ends with 1\n{code}")


@pytest.mark.slow
def test_a_block_runs_in_a_process_of_its_own(site: Path, hub: dict[str, str], tmp_path: Path) -> None:
    """Nothing that the warm process has imported is needed: pasted into an empty file, it runs."""
    for number, block in enumerate(blocks_of(site, f"models/{REAL}")[:2]):
        program = tmp_path / f"{number}.py"
        program.write_text(block.code, encoding="utf-8")
        command = [sys.executable, "-W", "error::DeprecationWarning:__main__", program.name]
        result = subprocess.run(command, cwd=tmp_path, env=os.environ | hub, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert len(result.stdout.splitlines()) == 5
        assert "Warning" not in result.stderr


@pytest.mark.parametrize("name", MODELS)
def test_a_page_shows_its_own_name(name: str, site: Path) -> None:
    blocks = [block for block in blocks_of(site, f"models/{name}") if block.language == "python"]
    assert len(blocks) >= (BLOCKS_OF_A_MODEL - 1 if name in NINE else 1)
    for block in blocks:
        named = {
            each for each in MODELS if f'"{each}"' in block.code or f'"{current_name(each)}"' in block.code
        }
        assert named == {name}, block.where


def test_every_block_is_code_that_runs_or_of_a_known_kind(site: Path) -> None:
    """A block in `sh` or `console` would be run by nobody: write bash."""
    known = {*RUN_LANGUAGES, *SHOWN_LANGUAGES}
    strange = {
        f"{block.where}: {block.language or 'no language'}"
        for page in PAGES
        for block in code_blocks(page, soup_of(page_path(site, page)))
        if block.language not in known
    }
    assert strange == set()


def test_few_blocks_are_not_run_and_each_says_why(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skipped = [block for page in PAGES for block in blocks_of(site, page) if block.skip]
    with capsys.disabled():
        report = [f"{len(skipped)} blocks are not run"] + [f"  {each.where}: {each.skip}" for each in skipped]
        sys.stdout.write("\n" + "\n".join(report) + "\n")
    assert len(skipped) <= MOST_NOT_RUN
    assert all(len(block.skip.split()) >= 3 for block in skipped)


def test_training_that_is_not_run_here_is_spelled_rightly(site: Path) -> None:
    skipped = [block.code for page in PAGES for block in blocks_of(site, page) if block.skip]
    commands = re.findall(r"advprop (train .*)", "\n".join(skipped).replace("\\\n", " "))
    assert len(commands) >= 4
    for command in commands:
        assert isinstance(parse(shlex.split(command)), Train)


def test_no_page_with_code_is_left_out(site: Path) -> None:
    covered = {page_path(site, page) for page in PAGES}
    for path in site.rglob("index.html"):
        page = path.parent.relative_to(site).as_posix()
        if path in covered or page.startswith("notebooks/"):  # those are run by nbval
            continue
        if re.fullmatch(r"reference/\w+/source", page):  # the library's own code
            continue
        assert blocks_of(site, page) == [], f"{page} has code that no test runs"
