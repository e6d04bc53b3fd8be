"""What every test starts from: one thread, a fixed seed."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # the tests' models are tiny, and pytest-xdist already uses every core


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Make each test repeatable, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent
