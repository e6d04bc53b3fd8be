"""Every code block that a reader can copy from the built site is run as it stands there.

Weights come from a hub on 127.0.0.1 and are made here. B0 is itself; the names of the heavier sizes stand for
tiny networks of the same build, so that nine pages take minutes and not hours.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from advprop.cards import default_pages, load_model_index
from advprop.models import create_model, current_name
from tests.hub import serve_hub
from tests.site_tools import (
    ROOT,
    RUN_LANGUAGES,
    Block,
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
WRITTEN = [
    "",
    *(f"models/{path.stem}" for path in default_pages()),
    *(
        f"{part}/{path.stem}"
        for part in ("guides", "reference")
        for path in sorted((ROOT / "docs" / part).glob("*.md"))
    ),
]
PAGES = [page.removesuffix("/index") for page in WRITTEN] + [f"models/{name}" for name in MODELS]
REAL = NINE[0]
BLOCKS_OF_A_MODEL = 10
MOST_NOT_RUN = 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process whose hub has weights for all names that are downloaded."""
    folder = tmp_path_factory.mktemp("weights")
    code = "import sys; from tests.test_snippets import write_weights; write_weights(sys.argv[1])"
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


@pytest.fixture(scope="module")
def passed() -> set[tuple[str, bool]]:
    """Code that has run: the collection's page shows the same as that of its first model."""
    return set()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(
    page: str, site: Path, runner: Runner, passed: set[tuple[str, bool]], tmp_path: Path
) -> None:
    tiny = page.removeprefix("models/") in NINE[1:]
    one_by_one = page.startswith("guides/")  # a block finds what those before it have left
    failures = []
    for number, block in enumerate(blocks_of(site, page)):
        if block.skip or ((block.code, tiny) in passed and not one_by_one):
            continue
        passed.add((block.code, tiny))
        folder = tmp_path / ("page" if one_by_one else str(number))
        folder.mkdir(exist_ok=True)
        outcome = runner.run(block, folder, tiny=tiny)
        silent = not outcome.output and block.language != "pycon"
        if outcome.status or silent:
            failures.append(f"{block.where} ended with {outcome.status}\n{block.code}\n{outcome.output}")
    assert not failures, "\n\n".join(failures)


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


def test_few_blocks_are_not_run_and_each_says_why(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skipped = [block for page in PAGES for block in blocks_of(site, page) if block.skip]
    with capsys.disabled():
        report = [f"{len(skipped)} blocks are not run"] + [f"  {each.where}: {each.skip}" for each in skipped]
        sys.stdout.write("\n" + "\n".join(report) + "\n")
    assert len(skipped) <= MOST_NOT_RUN
    assert all(len(block.skip.split()) >= 3 for block in skipped)


def test_no_page_with_code_is_left_out(site: Path) -> None:
    covered = {page_path(site, page) for page in PAGES}
    for path in site.rglob("index.html"):
        page = path.parent.relative_to(site).as_posix()
        if path in covered or page.startswith("notebooks/"):  # those are run by nbval
            continue
        assert blocks_of(site, page) == [], f"{page} has code that no test runs"
