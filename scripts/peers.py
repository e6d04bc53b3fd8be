"""Training steps, the peers of ours: that of timm's own script, and AdvProp plainly as the paper has it."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import TypeAlias

import torch
from timm.task import ClassificationTask
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from advprop.data import Data
from advprop.models import data_config
from advprop.recipes import Recipe
from advprop.runtime import World
from advprop.training import build_model, build_optimizer, build_schedule

Step: TypeAlias = Callable[[Tensor, Tensor], None]
NORMS = {
    "batch": (nn.modules.batchnorm._BatchNorm,),
    "all": (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm),
}


def mean_and_std(model: nn.Module, device: torch.device) -> list[Tensor]:
    """What a model's images are normalized with, `[1, 3, 1, 1]` each."""
    config = data_config(model)
    return [torch.tensor(config[name], device=device).view(1, 3, 1, 1) for name in ("mean", "std")]


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
    mean, std = mean_and_std(model, world.device)
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


def twin(model: nn.Module, norms: tuple[type[nn.Module], ...]) -> nn.Module:
    """A copy of a model that has norms of its own, and the weights of all other layers in common with it."""
    copy = deepcopy(model)
    for layer, copied in zip(model.modules(), copy.modules(), strict=True):
        if not isinstance(layer, norms):
            for name, parameter in layer.named_parameters(recurse=False):
                setattr(copied, name, parameter)
    return copy


class NaiveStep:
    """A step of AdvProp written plainly from the paper: fp32, two passes, no tricks.

    Algorithm 1 of Xie et al. (CVPR 2020): attack the network through its auxiliary norms, in evaluation mode
    and towards a random wrong class; then sum the losses of clean images through the main norms and of
    adversarial images through the auxiliary norms. Of this package it uses the optimizer and the schedule.

    Args:
        recipe: Model, attack, optimizer and schedule.
        world: The device.
        data: Says how many classes and images there are.
    """

    def __init__(self, recipe: Recipe, world: World, data: Data) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.model = build_model(recipe, data)
        self.auxiliary = twin(self.model, NORMS[recipe.norms])
        self.model.add_module("auxiliary", self.auxiliary)  # for the optimizer
        self.model.to(world.device)
        self.optimizer = build_optimizer(recipe, self.model)
        self.schedule = build_schedule(recipe, self.optimizer, len(data.train) // recipe.batch_size)
        self.classes, self.taken = len(data.class_names), 0
        self.mean, self.std = mean_and_std(self.model, world.device)

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on images `[B, 3, H, W]`, pixels in [0, 1], with classes `[B]`."""
        if self.schedule is not None:
            self.schedule.step_update(self.taken)
        adversarial = self.attack(images, labels)
        self.model.train()
        self.optimizer.zero_grad()
        smoothing = self.recipe.label_smoothing
        clean = self.loss(self.model, images, labels, smoothing)
        (clean + self.loss(self.auxiliary, adversarial, labels, smoothing)).backward()
        self.optimizer.step()
        self.taken += 1

    def attack(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` within eps of the given ones, nearer to a random wrong class."""
        self.model.eval()
        eps, steps = self.recipe.eps, self.recipe.steps
        step_size = self.recipe.step_size or eps / max(1, steps - 1)
        targets = (labels + torch.randint_like(labels, 1, self.classes)) % self.classes
        adversarial = (images + torch.empty_like(images).uniform_(-eps, eps)).clamp(0, 1)
        for _ in range(steps):
            adversarial.requires_grad_()
            loss = self.loss(self.auxiliary, adversarial, targets)
            (gradient,) = torch.autograd.grad(loss, adversarial)
            moved = adversarial.detach() - step_size * gradient.sign()
            adversarial = (images + (moved - images).clamp(-eps, eps)).clamp(0, 1)
        return adversarial

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy of pixels in [0, 1], through the norms of one of the two."""
        logits = model((images - self.mean) / self.std)
        return cross_entropy(logits, labels, label_smoothing=smoothing)
