"""What a step costs by batch, image size, steps of the attack and ranks: `python -m scripts.cost_curves`.

The methods take turns with standard training at the same settings, which is the unit. Points of several
ranks run as under torchrun with a batch that grows with them, on the clock of the wall; on a CPU each rank
has a thread.
Curves are added to those in `docs/measured/cost_curves.json`, in the place of those of the same device.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher import LaunchConfig, elastic_launch
from tqdm import tqdm

from advprop import make_recipe
from advprop.data import Batches
from advprop.runtime import cpu_threads, gpu_kernels, join, own_randomness
from advprop.training import Loop
from scripts import benchmark
from scripts.benchmark import METHODS, SHARED
from scripts.surroundings import ROOT, circumstances, device_kind

RECORD = ROOT / "docs" / "measured" / "cost_curves.json"
UNIT = "standard"
CURVES = ("fast", "advprop-1", "advprop-5")
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {"model": "resnet18", "image_size": 96, "batch_size": 16, "precision": "fp32"},
    "cuda": {
        "model": "resnet50",
        "image_size": 224,
        "batch_size": 256,
        "precision": "bf16",
        "channels_last": True,
    },
}
# What is changed, by what it is called in a chart.
VALUES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "cpu": {
        "images in a batch": (4, 8, 16, 32),
        "pixels of a side": (64, 96, 128, 160),
        "steps of the attack": (1, 2, 3, 5, 10),
        "ranks": (1, 2),
    },
    "cuda": {
        "images in a batch": (16, 32, 64, 128, 256),
        "pixels of a side": (128, 160, 192, 224, 288),
        "steps of the attack": (1, 2, 3, 5, 10),
        "ranks": (1, 2, 4, 8),
    },
}


class Point(NamedTuple):
    """What is measured at once: settings of a recipe, methods by name, and how many ranks there are."""

    settings: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    ranks: int = 1


def main(arguments: list[str] | None = None) -> int:
    """Measure, show and keep it; return the exit status."""
    parser = argparse.ArgumentParser(description="What a step costs by batch, image size, steps and ranks.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device_kind(), help="default: a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="training steps of a method in a round")
    parser.add_argument("--record", type=Path, default=RECORD, help="where to keep it")
    asked = parser.parse_args(arguments)
    try:
        drawn = curves(asked.device, asked.rounds, asked.steps)
    except (ValueError, ChildFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    measured = {
        **SETTINGS[asked.device],
        "rounds": asked.rounds,
        "steps": asked.steps,
        "curves": drawn,
        **circumstances(asked.device),
        "command": benchmark.command_of("cost_curves", arguments),
    }
    benchmark.keep(measured, asked.record, same=["device"])
    for name, points in drawn.items():
        print(name, *points, sep="\n  ")
    return 0


def curves(device: str, rounds: int, steps: int) -> dict[str, list[dict[str, Any]]]:
    """The points of each curve: at which value, and the costs of each method by round."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, value, point in tqdm(list(points(device)), "measuring", disable=None):
        measure = costs if point.ranks == 1 else on_ranks
        found.setdefault(name, []).append({"at": value, "costs": measure(point, device, rounds, steps)})
    return found


def points(device: str) -> Iterator[tuple[str, int, Point]]:
    """What a curve is named after, the value, and what is measured there."""
    base = SETTINGS[device]
    methods = {name: METHODS[name] for name in (UNIT, *CURVES)}
    for name, values in VALUES[device].items():
        for value in values:
            if name == "images in a batch":
                yield name, value, Point({**base, "batch_size": value}, methods)
            elif name == "pixels of a side":
                yield name, value, Point({**base, "image_size": value}, methods)
            elif name == "steps of the attack":
                attacked = {"method": "advprop", "steps": value}
                yield name, value, Point(base, {UNIT: METHODS[UNIT], "advprop": attacked})
            elif device == "cpu" or value <= torch.cuda.device_count():
                grown = {**base, "batch_size": value * base["batch_size"]}
                yield name, value, Point(grown, methods, value)


def costs(point: Point, device: str, rounds: int, steps: int) -> dict[str, list[float]]:
    """The time of each method over that of standard training in the same round; nothing but on rank 0."""
    recipes = {name: make_recipe(point.settings, SHARED, method) for name, method in point.methods.items()}
    threads = 1 if device == "cpu" or point.ranks > 1 else None
    with join(device) as world, gpu_kernels(tf32=False), own_randomness(), cpu_threads(threads):
        data = benchmark.random_data(recipes[UNIT], world.device)
        batches = Batches(data.train, recipes[UNIT].batch_size // world.ranks)
        steppers = {name: Loop(recipe, world, data).advance for name, recipe in recipes.items()}
        turns = benchmark.in_turns(steppers, list(batches), steps)
        seconds = benchmark.take_turns(turns, rounds, partial(benchmark.clock, world))
        unit = seconds.pop(UNIT)
        if world.rank:
            return {}
    return {
        name: [round(share, 3) for share in benchmark.shares(taken, unit)] for name, taken in seconds.items()
    }


def on_ranks(point: Point, device: str, rounds: int, steps: int) -> dict[str, list[float]]:
    """The same on several ranks of this machine."""
    alone = LaunchConfig(
        1, 1, point.ranks, run_id="curve", rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0
    )
    found: dict[int, dict[str, list[float]]] = elastic_launch(alone, costs)(point, device, rounds, steps)
    return found[0]


if __name__ == "__main__":
    sys.exit(main())
