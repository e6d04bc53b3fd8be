"""Randomness that follows from numbers, such as a seed and a step, and from nothing else."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_all(*words: int) -> None:
    """Seeds all randomness by some numbers, such as seed, rank and step, and by nothing that went before.

    Where each step of a run begins with this, a checkpoint needs no random state: the numbers are it.
    """
    torch.manual_seed(seed_cpu(*words))


def seed_cpu(*words: int) -> int:
    """Seeds the randomness of the CPU, as for reading an image; gives the seed of torch's.

    `torch.manual_seed` seeds every kind of device as well, and writes down the call stack for each that is
    not in use yet: for a small image that takes as long as reading it.
    """
    seeds = np.random.SeedSequence(words).generate_state(3)
    random.seed(int(seeds[0]))
    np.random.seed(int(seeds[1]))  # timm's mixup draws from the global state
    torch.default_generator.manual_seed(int(seeds[2]))
    return int(seeds[2])


@contextmanager
def own_randomness() -> Iterator[None]:
    """Restores the caller's random state at the end, whatever was seeded inside."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
