"""A training step as timm's own script takes it, as the peer of ours."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeAlias

import torch
from timm.task import ClassificationTask
from torch import Tensor

from advprop.data import Data
from advprop.models import data_config
from advprop.recipes import Recipe
from advprop.runtime import World
from advprop.training import build_model, build_optimizer, build_schedule

Step: TypeAlias = Callable[[Tensor, Tensor], None]


def timms_step(recipe: Recipe, world: World, data: Data) -> Step:
    """A step as timm's training script takes it, but for reading the loss, which waits for the device."""
    torch.manual_seed(recipe.seed)
    layout = torch.channels_last if recipe.channels_last else torch.preserve_format
    model = build_model(recipe, data).to(world.device).to(memory_format=layout)
    smoothing = {"smoothing": recipe.label_smoothing, "soft_targets": False}
    task = ClassificationTask(model, device=world.device, criterion_kwargs=smoothing, verbose=False)
    optimizer = build_optimizer(recipe, model)
    schedule = build_schedule(recipe, optimizer, len(data.train) // recipe.batch_size)
    if recipe.compile:
        task.compile()
    scaler = torch.amp.GradScaler(world.device.type, enabled=recipe.precision == "fp16")
    cast = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.precision)
    config = data_config(model)
    mean, std = (torch.tensor(config[name], device=world.device).view(1, 3, 1, 1) for name in ("mean", "std"))
    taken = 0

    def step(images: Tensor, labels: Tensor) -> None:
        nonlocal taken
        task.train()
        images = images.sub(mean).div(std)  # timm's loader does it, on the device as well
        if recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(world.device.type, cast) if cast else nullcontext():
            loss = task(images, labels)["loss"]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        taken += 1
        if schedule is not None:
            schedule.step_update(taken)

    return step
