"""Blocks of code as readers run them: pasted into a file or a terminal, the wheel in a fresh environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save

from advprop.cards import load_model_index
from advprop.models import create_model, current_name
from tests.hub import serve_hub
from tests.readers import Reader, new_reader
from tests.site_tools import ROOT, built_site, code_blocks, page_path, soup_of

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

FIRST, *LARGER = sorted(card.name for card in load_model_index().members("AdvProp"))


@pytest.fixture(scope="module")
def who_installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who has installed the package with its extras, and whose hub has the smallest model."""
    reader = new_reader(root, tmp_path_factory.mktemp("installed"), installed=True)
    name = current_name(FIRST)
    repos = {f"timm/{name}": {"model.safetensors": save(create_model(name).state_dict())}}
    with serve_hub(repos, tmp_path_factory.mktemp("hub")) as environment:
        yield replace(reader, environment=reader.environment | environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory)


def pages() -> Iterator[str]:
    """The written pages, and those of models, of which the larger ones show the same programs."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        if not name.startswith("templates/"):
            yield name.removesuffix("index").rstrip("/")
    yield f"models/{FIRST}"


@pytest.mark.parametrize("page", list(pages()))
def test_every_block_runs_on_a_readers_machine(
    page: str, site: Path, who_installed: Reader, tmp_path: Path
) -> None:
    shown = code_blocks(page, soup_of(page_path(site, page)))
    blocks = [each for each in shown if each.language in ("python", "bash") and not each.skip]
    faults = []
    for number, block in enumerate(blocks):
        shared = page.startswith("guides/") or block.language == "bash"
        folder = tmp_path / ("shared" if shared else str(number))
        folder.mkdir(exist_ok=True)
        done = who_installed.run(block.code, folder, block.language)
        # The hub here has the smallest model; test_snippets.py runs the blocks with larger ones.
        larger = any(name in block.code or current_name(name) in block.code for name in LARGER)
        if done.returncode and not larger:
            faults.append(f"{block.where}\n{block.code}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    assert not faults, "\n\n".join(faults)
