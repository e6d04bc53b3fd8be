"""Images per second in training by each method, beside timm's own way: `python -m scripts.benchmark`.

All candidates train the same model on the same random images, which lie on the device, with the same
optimizer, precision and memory format, and take turns: a machine that is busy or hot for a while is so for
all of them. What is timed are whole steps: attack, passes, optimizer, schedule. On a GPU the clock is that of
the wall, from an idle device to an idle device; on a CPU it is the processor's, with one thread.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from advprop import make_recipe
from advprop.data import Batches, Data, TensorSet
from advprop.recipes import MethodSettings, Recipe
from advprop.runtime import World, cpu_threads, gpu_kernels, join, own_randomness
from advprop.training import Loop
from scripts.peak_memory import peak_bytes
from scripts.peers import NaiveStep, Step, timms_step
from scripts.surroundings import ROOT, circumstances, read_record, write_record

RECORD = ROOT / "docs" / "measured" / "benchmark.json"
TIMM = "timm"
METHODS: Mapping[str, Mapping[str, Any]] = {
    "standard": {"method": "standard"},
    "fast": {"method": "fast"},
    "adversarial-1": {"method": "adversarial", "steps": 1},
    "advprop-1": {"method": "advprop", "steps": 1},
    "advprop-5": {"method": "advprop", "steps": 5},
    "fine-grained-1": {"method": "fine-grained", "steps": 1},
}
# AdvProp written plainly from the paper: fp32, channels first, not compiled.
NAIVE = {f"naive-{steps}": METHODS[f"advprop-{steps}"] for steps in (1, 5)}
CANDIDATES = {**METHODS, "separate-1": {**METHODS["advprop-1"], "separate_passes": True}, **NAIVE}
# What a measurement is of; one with all of these as before takes its place.
SETTINGS = ("model", "image_size", "batch_size", "precision", "channels_last", "compile", "norms")
OLDER = {"norms": "batch"}  # of measurements that do not state it
# Images are not changed at random, which costs the same for all; the run would be long.
SHARED: Mapping[str, Any] = {"data": "noise", "flip": 0.0, "epochs": 1000, "workers": 0}
BATCHES = 4


def main(arguments: list[str] | None = None) -> int:
    """Measure, show and keep it; return the exit status."""
    parser = argparse.ArgumentParser(description="Images per second in training, beside timm's own way.")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="bf16")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--norms", choices=("batch", "all"), default="batch", help="all: ConvNeXt and ViT")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="steps of a candidate in a round")
    parser.add_argument("--methods", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--record", type=Path, default=RECORD, help="where to keep it")
    asked = parser.parse_args(arguments)
    try:
        settings = {name: getattr(asked, name) for name in SETTINGS}
        measured = benchmark(settings, asked.methods, asked.device, asked.rounds, asked.steps)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    measured["command"] = command_of("benchmark", arguments)
    keep(measured, asked.record)
    print(table(measured))
    return 0


def command_of(script: str, arguments: list[str] | None) -> str:
    """What measures the same again by a script, wherever it is kept then."""
    kept = list(sys.argv[1:] if arguments is None else arguments)
    if "--record" in kept:
        del kept[(place := kept.index("--record")) : place + 2]
    return " ".join(["python", "-m", f"scripts.{script}", *kept])


def benchmark(
    settings: Mapping[str, Any], methods: list[str], device: str, rounds: int, steps: int
) -> dict[str, Any]:
    """Measure all candidates with these settings of a recipe, in `rounds` turns of `steps` steps each.

    Raises:
        ValueError: If there is no such model or device.
    """
    recipes = {name: make_recipe(settings, SHARED, CANDIDATES[name]) for name in methods}
    plain = make_recipe(settings, SHARED, METHODS["standard"])
    with join(device) as world, gpu_kernels(tf32=False), own_randomness():
        on_cpu = world.device.type == "cpu"
        with cpu_threads(1 if on_cpu else None):
            data = random_data(plain, world.device)
            kept = list(Batches(data.train, plain.batch_size))
            candidates, peaks = make_candidates(plain, recipes, world, data, kept[0])
            turns = in_turns(candidates, kept, steps)
            seconds = take_turns(turns, rounds, partial(clock, world))
    return {
        **settings,
        "rounds": rounds,
        "steps": steps,
        "images_per_second": {
            name: [round(plain.batch_size * steps / each, 1) for each in taken]
            for name, taken in seconds.items()
        },
        "peak_bytes": peaks,
        "clock": "processor, one thread" if on_cpu else "wall",
        **circumstances(world.device.type),
    }


def make_candidates(
    plain: Recipe, recipes: Mapping[str, Recipe], world: World, data: Data, batch: tuple[Tensor, Tensor]
) -> tuple[dict[str, Step], dict[str, int]]:
    """Each candidate after its first step, and the most bytes that it had on the device until then.

    On a CPU a compiled one has no number: a profile of the compiler would take longer than all else.
    """

    def made(make: Callable[[], Step]) -> Step:
        (step := make())(*batch)
        return step

    makers: dict[str, Callable[[], Step]] = {TIMM: partial(timms_step, plain, world, data)}
    for name, recipe in recipes.items():
        makers[name] = partial(NaiveStep if name in NAIVE else _our_step, recipe, world, data)
    candidates, peaks = {}, {}
    for name, make in tqdm(makers.items(), "making candidates", leave=False, disable=None):
        if plain.compile and world.device.type == "cpu":
            candidates[name] = made(make)
        else:
            candidates[name], peaks[name] = peak_bytes(world.device, partial(made, make))
    return candidates, peaks


def _our_step(recipe: Recipe, world: World, data: Data) -> Step:
    return Loop(recipe, world, data).advance


def random_data(recipe: Recipe, device: torch.device) -> Data:
    """A few batches of noise on the device, as bytes, with labels of a thousand classes."""
    shape = (3, recipe.image_size or 224, recipe.image_size or 224)
    generator = torch.Generator().manual_seed(0)
    count = BATCHES * recipe.batch_size
    images = torch.randint(256, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(1000, (count,), generator=generator)
    several = TensorSet(images, labels).to(device)
    return Data(train=several, test=several, class_names=tuple(map(str, range(1000))), shape=shape)


def in_turns(
    candidates: Mapping[str, Step], batches: Iterable[tuple[Tensor, Tensor]], steps: int
) -> dict[str, Callable[[], object]]:
    """Each candidate's turn: so many steps, on batches that all go through in one order."""
    endless = cycle(batches)

    def turn(step: Step) -> None:
        for images, labels in islice(endless, steps):
            step(images, labels)

    return {name: partial(turn, step) for name, step in candidates.items()}


def take_turns(
    turns: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each turn of each candidate, after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in turns}
    order = [(number, name) for number in range(rounds + 1) for name in turns]
    for number, name in tqdm(order, "measuring", leave=False, disable=None):
        begun = clock()
        turns[name]()
        if number:
            taken[name].append(clock() - begun)
    return taken


def clock(world: World) -> float:
    """Seconds on the clock that is right: the processor's, or the wall's of an idle GPU and of all ranks."""
    if world.device.type == "cpu" and world.ranks == 1:
        return time.process_time()
    world.wait()
    if world.ranks > 1:
        dist.barrier()
    return time.perf_counter()


def keep(measured: Mapping[str, Any], path: Path, same: Iterable[str] = ("device", *SETTINGS)) -> None:
    """Add a measurement to those in a file, in the place of one of the same device and settings."""
    kept = [each for each in read_record(path, []) if any((OLDER | each)[k] != measured[k] for k in same)]
    write_record(path, [*kept, measured])


def shares(values: Iterable[float], units: Iterable[float]) -> list[float]:
    """Each value over the unit of the same round."""
    return [value / unit for value, unit in zip(values, units, strict=True)]


def arithmetic_floor(name: str) -> float:
    """Passes of a candidate's step over the three of a standard step: what arithmetic alone costs.

    Examples:
        >>> from scripts.benchmark import arithmetic_floor
        >>> arithmetic_floor("fast"), arithmetic_floor("advprop-5")
        (1.2, 5.333333333333333)
    """
    kind, _, steps = name.rpartition("-")
    known = CANDIDATES.get(name, METHODS["standard"])
    settings: Mapping[str, Any] = {"method": kind, "steps": int(steps)} if kind == "advprop" else known
    attack = 2 * settings.get("steps", 0)  # forward, and back to the images
    trained = {"standard": 1, "fast": 1 + MethodSettings().share, "fine-grained": 3}  # times each image
    return float(attack + 3 * trained.get(settings["method"], 2)) / 3


def share_of_floor(measured: Mapping[str, Any], name: str) -> float:
    """The arithmetic floor over what a step costs, standard training = 1: the median of all rounds."""
    speeds = measured["images_per_second"]
    return arithmetic_floor(name) / statistics.median(shares(speeds["standard"], speeds[name]))


def share_of_timm(measured: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    """A candidate's speed over timm's in the same round: median, least and most."""
    speeds = measured["images_per_second"]
    found = shares(speeds[name], speeds[TIMM])
    return statistics.median(found), min(found), max(found)


def table(measured: Mapping[str, Any]) -> str:
    """A measurement for the terminal."""
    lines = [f"{measured['model']}, {measured['device']}\n{'':16}{'images/s':>10}{'timm = 1':>10}  range"]
    for name, speeds in measured["images_per_second"].items():
        middle, least, most = share_of_timm(measured, name)
        lines.append(f"{name:16}{statistics.median(speeds):10,.0f}{middle:10.3f}  {least:.3f} to {most:.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
