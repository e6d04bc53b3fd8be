"""What an attack and each method cost on the CPU, in time and memory: `python -m scripts.attack_cost`.

All parts take turns on one thread, and the clock is the thread's, so that other programs disturb little.
Each share is of a standard training step (passes alone) in the same round; what is kept is the median. The
attack with norms as layers is that of a model with a hook, which `constant_norms` leaves as it is. Beside
time there is memory: the most that a step takes beyond the weights.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from advprop import PGD, AdvPropTask, FastAdvPropTask, StandardTask, branch_parameters, use_branch
from advprop.runtime import cpu_threads
from scripts.benchmark import command_of, shares, take_turns
from scripts.peak_memory import peak_bytes
from scripts.surroundings import ROOT, circumstances, write_record

Maker: TypeAlias = Callable[[nn.Module], StandardTask]
RECORD = ROOT / "docs" / "measured" / "attack_cost.json"
# Model, size of the images and of the batch.
CASES = (("resnet18", 112, 16), ("tf_efficientnet_b0", 128, 8))
IN_MEMORY = (("resnet50", 224, 16), ("tf_efficientnet_b0", 224, 16))
ADVPROP = partial(AdvPropTask, attack=PGD(steps=1, targeted="random"))
FIVE_STEPS = partial(AdvPropTask, attack=PGD(steps=5, targeted="random"))
SEPARATE = partial(ADVPROP, separate_passes=True)
PREDICTED: Mapping[str, str] = {
    "attack, 1 step": "0.63 to 0.55 with norms folded, after 0.70 with norms as layers",
    "attack, 5 steps": "5 times that of one step",
    "attack, 5 steps, norms as layers": "3.5",
    "attack, 5 steps, norms as layers, weights without gradients": "less than with gradients",
    "pixels of a step": "a small share; one pass in the place of nine",
    "Fast AdvProp": "1.25; by arithmetic 1.19 for 3 of 16 images that go through twice",
    "Fast AdvProp, clean and noisy images in one pass": "no less: as many images go through in all",
    "AdvProp, 1 step": "1.83 and one step of the attack",
    "AdvProp, 1 step, a pass for each branch": "5 % more",
    "AdvProp, 1 step, compiled": "2.6 standard steps that are compiled, too",
    "AdvProp, 5 steps, compiled": "4.9 of these",
}
OPERATIONS = 6  # of a profile


def main(arguments: list[str] | None = None) -> int:
    """Measure, show and keep it; return the exit status."""
    parser = argparse.ArgumentParser(description="What a step of an attack costs on the CPU.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--record", type=Path, default=RECORD, help="where to keep it")
    asked = parser.parse_args(arguments)
    with cpu_threads(1):
        found = [measure(*case, asked.rounds) for case in CASES]
        memory = [in_memory(*case) for case in IN_MEMORY]
    record = {"cases": found, "memory": memory, "predicted": dict(PREDICTED), **circumstances("cpu")}
    write_record(asked.record, record | {"command": command_of("attack_cost", arguments)})
    for case in found:
        print(case["model"], *(f"{share:7.3f}  {part}" for part, share in case["shares"].items()), sep="\n")
    for case in memory:
        print(case["model"], *(f"{each:,} bytes  {part}" for part, each in case["bytes"].items()), sep="\n")
    return 0


def measure(name: str, size: int, count: int, rounds: int) -> dict[str, Any]:
    """Time of each part over that of a standard step, and the operations of an attack that take longest."""
    torch.manual_seed(0)
    images, labels = torch.rand(count, 3, size, size), torch.randint(1000, (count,))
    parts = candidates(name, images, labels)
    taken = take_turns(parts, rounds, time.thread_time)
    unit = taken.pop("standard step")
    return {
        "model": name,
        "image_size": size,
        "batch_size": count,
        "rounds": rounds,
        "seconds": round(statistics.median(unit), 3),
        "shares": {part: round(statistics.median(shares(each, unit)), 3) for part, each in taken.items()},
        "operations": operations(parts["attack, 1 step"]),
    }


def training(
    make: Maker, name: str, images: Tensor, labels: Tensor, *, compiled: bool = False
) -> Callable[[], None]:
    """The passes of a training step by a task, with the memory format of the images."""
    last = images.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.preserve_format
    task = make(timm.create_model(name)).train().to(memory_format=layout)
    if compiled:
        task.compile()

    def step() -> None:
        task.zero_grad()
        task(images, labels)["loss"].backward()

    return step


def in_memory(name: str, size: int, count: int) -> dict[str, Any]:
    """The most bytes that a step of each method takes beyond the weights; the gradients are among them."""
    torch.manual_seed(0)
    images, labels = torch.rand(2 * count, 3, size, size), torch.randint(1000, (2 * count,))
    tasks: dict[str, tuple[Maker, int]] = {
        "standard": (StandardTask, count),
        "standard, twice the batch": (StandardTask, 2 * count),
        "AdvProp": (ADVPROP, count),
        "AdvProp, a pass for each branch": (SEPARATE, count),
        "Fast AdvProp": (FastAdvPropTask, count),
    }
    found = {}
    for part, (make, several) in tasks.items():
        step = training(make, name, images[:several], labels[:several])
        _, found[part] = peak_bytes(torch.device("cpu"), step)
    return {"model": name, "image_size": size, "batch_size": count, "bytes": found}


def candidates(name: str, images: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    """What is timed; the first is the unit."""
    batch = name, images, labels
    last = name, images.contiguous(memory_format=torch.channels_last), labels

    def attacked(steps: int, layers: bool = False, gradients: bool = True) -> Callable[[], object]:
        task = AdvPropTask(timm.create_model(name), PGD(steps=steps, targeted="random")).train()
        task.trainable_module.requires_grad_(gradients)
        if layers:
            task.trainable_module.register_forward_hook(lambda *_: None)
        return lambda: task.view("adv", images, labels)

    climb = PGD(steps=1)
    start, gradient = climb.start(images), torch.randn_like(images)
    return {
        "standard step": training(StandardTask, *batch),
        "standard step, channels last": training(StandardTask, *last),
        "attack, 1 step": attacked(1),
        "attack, 1 step, norms as layers": attacked(1, layers=True),
        "attack, 5 steps": attacked(5),
        "attack, 5 steps, norms as layers": attacked(5, layers=True),
        "attack, 5 steps, norms as layers, weights without gradients": attacked(
            5, layers=True, gradients=False
        ),
        "pixels of a step": lambda: climb.step(start, images, gradient),
        "Fast AdvProp": training(FastAdvPropTask, *batch),
        "Fast AdvProp, clean and noisy images in one pass": training(OnePass, *batch),
        "AdvProp, 1 step": training(ADVPROP, *batch),
        "AdvProp, 1 step, a pass for each branch": training(SEPARATE, *batch),
        "AdvProp, 1 step, channels last": training(ADVPROP, *last),
        "standard step, compiled": training(StandardTask, *batch, compiled=True),
        "AdvProp, 1 step, compiled": training(ADVPROP, *batch, compiled=True),
        "AdvProp, 5 steps, compiled": training(FIVE_STEPS, *batch, compiled=True),
    }


class OnePass(FastAdvPropTask):
    """Fast AdvProp whose first pass takes the clean images with the noisy ones, and whose second the rest."""

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `FastAdvPropTask.forward`."""
        parts = self.passes(len(input))[-1]
        n_clean, n_adv = parts.values()
        start = self.attack.start(input[n_clean:]).requires_grad_()
        with use_branch(self.trainable_module, parts):
            logits = self.attackable()(torch.cat([input[:n_clean], start]))
        clean = self.criterion(logits[:n_clean], target[:n_clean])
        noise = self.criterion(logits[n_clean:], target[n_clean:])
        first = (n_clean * clean + 0.5 * n_adv * noise) / len(input)
        (ascent,), kept = self.keep_gradients(first, list(self.parameters()), start, half=False)
        adversarial = self.attack.step(start.detach(), input[n_clean:], ascent)
        with use_branch(self.trainable_module, "adv"):
            loss = self.criterion(self.pixels(self.trainable_module)(adversarial), target[n_clean:])
        factors = {"main": len(input) / n_clean, "adv": len(input) / n_adv}
        self.rebalancing.scale_next_gradients(branch_parameters(self.trainable_module), factors)
        return {"loss": 0.5 * n_adv / len(input) * loss + kept}


def operations(run: Callable[[], object]) -> dict[str, float]:
    """The shares of the time of the operations that take longest, with the shapes of what they take."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else each start and stop is a line
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        run()
    events = found.key_averages(group_by_input_shape=True)
    whole = sum(event.self_cpu_time_total for event in events)
    longest = sorted(events, key=lambda event: -event.self_cpu_time_total)[:OPERATIONS]
    names = (f"{event.key} {[shape for shape in event.input_shapes if shape]}" for event in longest)
    shares = (round(event.self_cpu_time_total / whole, 3) for event in longest)
    return dict(zip(names, shares, strict=True))


if __name__ == "__main__":
    sys.exit(main())
