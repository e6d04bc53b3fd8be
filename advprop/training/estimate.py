"""What a run is, how long it will take by its first steps, and what would make it faster."""

import os

import torch
from torch import nn

from advprop.evaluation import CORRUPTIONS
from advprop.runtime import Plan, World, duration
from advprop.training.loop import Loop
from advprop.training.parts import images_per_pass

_WORTH_ADVICE = 60.0  # seconds that a run takes
_SMALLEST_SIDE = 64  # of photographs that still show something
_LARGE_MODEL = 5_000_000  # parameters
_ATTACKS = ("advprop", "fine-grained", "adversarial")


def plan_of(loop: Loop) -> Plan:
    """The steps and the tests of a run; a test is guessed from the passes of a step until it was timed."""
    recipe = loop.recipe
    of_step = recipe.batch_size * forward_passes(loop)
    return Plan(
        epochs=recipe.epochs,
        steps=len(loop.train_batches),
        images=recipe.batch_size,
        test_every=recipe.test_every,
        test_steps=len(loop.data.test) / of_step,
    )


def forward_passes(loop: Loop) -> float:
    """The work of a step for an image of the batch in forward passes; a backward pass counts as two."""
    recipe, count = loop.recipe, images_per_pass(loop.recipe, loop.world.ranks)
    trained = sum(sum(sizes.values()) for sizes in loop.task.passes(count)) / count
    attacked = recipe.steps if recipe.method in _ATTACKS else 0
    return 3 * (trained + attacked)


def told_before(loop: Loop, first_step: int, seconds: float) -> list[str]:
    """The lines that a run begins with: what it is, how long it will take, and on a CPU what is faster."""
    recipe, data = loop.recipe, loop.data
    left = recipe.epochs - first_step / len(loop.train_batches)
    several = f"{recipe.epochs} epoch{'s' * (recipe.epochs > 1)}"
    epochs = f"the last {left:.3g} of {several}" if first_step else several
    count = len(CORRUPTIONS) * len(recipe.severities)
    corruptions = f", then a test on {count} corruptions" if count else ""
    lines = [
        f"training {recipe.model} ({recipe.method}) on {_device(loop.world)}: {len(data.train)} training and "
        f"{len(data.test)} test images of {len(data.class_names)} classes; {epochs} will take about "
        f"{duration(seconds)}{corruptions}"
    ]
    ways = faster_on_cpu(loop) if loop.world.device.type == "cpu" and not first_step else []
    if ways and seconds > _WORTH_ADVICE:
        lines.append(f"faster, in a new run: {', '.join(ways)}")
    return lines


def faster_on_cpu(loop: Loop) -> list[str]:
    """What would make a run on a CPU faster, with the settings that it has."""
    recipe, side = loop.recipe, loop.data.shape[1]
    ways = []
    if torch.accelerator.is_available():
        ways.append(f"--device {torch.accelerator.current_accelerator()}")
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in loop.task.trainable_module.modules())
    if not recipe.channels_last and side >= _SMALLEST_SIDE and convolutions > 1:
        ways.append("--channels-last")
    attacked = round(recipe.share * images_per_pass(recipe, loop.world.ranks))  # by the method fast
    if recipe.method in _ATTACKS and recipe.norms == "batch" and attacked:
        ways.append("--method fast")
    if recipe.method in _ATTACKS and recipe.steps > 1:
        ways.append(f"--steps 1 (now {recipe.steps})")
    if side > _SMALLEST_SIDE:
        config = getattr(loop.model().model, "pretrained_cfg", None) or {}
        if not config.get("fixed_input_size"):
            ways.append(f"--image-size {max(_SMALLEST_SIDE, round(side / 64) * 32)} (now {side})")
    if sum(parameter.numel() for parameter in loop.task.trainable_module.parameters()) > _LARGE_MODEL:
        ways.append(f"a smaller --model (now {recipe.model})")
    threads, could = torch.get_num_threads(), (os.cpu_count() or 1) // loop.world.ranks
    if side > _SMALLEST_SIDE and could > threads:
        ways.append(f"--threads {could} (now {threads})")
    plan = plan_of(loop)
    tests = plan.tests_after(0) * plan.test_steps  # a large part of the time?
    if recipe.test_every < recipe.epochs and tests > 0.3 * plan.epochs * plan.steps:
        ways.append(f"--test-every {min(recipe.epochs, 10 * recipe.test_every)} (now {recipe.test_every})")
    return ways


def _device(world: World) -> str:
    kind = world.device.type
    name = f" ({torch.cuda.get_device_name(world.device)})" if kind == "cuda" else ""
    count = torch.get_num_threads()
    threads = f" ({count} thread{'s' * (count > 1)})" if kind == "cpu" else ""
    several = f"{world.ranks} x " if world.ranks > 1 else ""
    return f"{several}{kind}{name}{threads}"
