"""What every test starts from: one thread, a fixed seed, an environment; and a run that several tests use."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from advprop import train
from advprop.recipes.recipe import make_recipe
from advprop.runs.summary import Outcome

# A shell's background job ignores Ctrl-C, and so would the processes that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The terminal and the scheduler in which the tests run are not theirs.
os.environ["COLUMNS"] = "100"
for variable in ("NO_COLOR", "FORCE_COLOR", "ADVPROP_TRACEBACK", "RANK", "LOCAL_RANK", "WORLD_SIZE"):
    os.environ.pop(variable, None)
for variable in [name for name in os.environ if name.startswith("SLURM_")]:
    del os.environ[variable]

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # lists of images that the tests make

torch.set_num_threads(1)  # the tests' models are tiny, and pytest-xdist already uses every core


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Make each test repeatable, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def digit_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of five digits as PNG, in folders by their names: 40 of each to train on, the rest to test."""
    folder = tmp_path_factory.mktemp("digits")
    loaded = load_digits()
    for label, name in enumerate(("zero", "one", "two", "three", "four")):
        for number, image in enumerate(loaded.images[loaded.target == label]):
            place = folder / ("train" if number < 40 else "validation") / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 255 / 16).round().astype("uint8")).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def folder_run(digit_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """A run of AdvProp on them, with averaged weights; what came out of it. No test changes its files."""
    recipe = make_recipe(
        data=str(digit_folders),
        model="advprop_convnet",
        channels=1,
        image_size=10,
        crop_pct=0.9,
        epochs=6,
        batch_size=20,
        lr=0.1,
        lr_base_size=None,
        warmup_epochs=0,
        eps=0.1,
        steps=1,
        ema=0.9,
        scale=None,
        flip=0,
        color_jitter=0,
        workers=0,
        test_every=6,
    )
    directory = tmp_path_factory.mktemp("runs") / "folders"
    outcome = train(recipe, directory)
    before = contents(directory)
    yield outcome
    assert contents(directory) == before, (
        "a test has written into the run that all share: let it copy it first"
    )


def contents(directory: Path) -> dict[str, bytes]:
    """The files of a directory, by their paths in it."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
