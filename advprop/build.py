"""The parts of a run, each made from its recipe by timm, torch or this package."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim._optim_factory import create_optimizer_v2
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from advprop.attack import PGD
from advprop.data import Data, digits
from advprop.fast import FastAdvPropTask
from advprop.models import create_model, data_config
from advprop.recipe import Recipe
from advprop.tasks import AdversarialTask, AdvPropTask, StandardTask


def build_data(recipe: Recipe) -> Data:
    """The images to train and to test on.

    Raises:
        ValueError: If there are no such data.
    """
    if recipe.data != "digits":
        raise ValueError(f"there are no data {recipe.data!r}; known are: digits")
    return digits(recipe.train_images, recipe.seed)


def build_model(recipe: Recipe, data: Data) -> nn.Module:
    """The model, for the channels and classes of the data.

    Raises:
        ValueError: If there is no such model.
    """
    return create_model(
        recipe.model, recipe.pretrained, num_classes=len(data.class_names), in_chans=data.shape[0]
    )


def build_attack(recipe: Recipe) -> PGD:
    """The attack that makes adversarial images.

    Raises:
        ValueError: If the method is fast and the attack is not.
    """
    if recipe.method == "fast" and (recipe.steps, recipe.target) != (1, "none"):
        raise ValueError(
            "the method fast attacks with one step away from the label (steps: 1, target: none), "
            f"got steps: {recipe.steps}, target: {recipe.target}"
        )
    step_size = recipe.step_size
    if step_size is None:
        step_size = recipe.eps / max(1, recipe.steps - 1)
    return PGD(
        eps=recipe.eps,
        steps=recipe.steps,
        step_size=step_size,
        targeted=None if recipe.target == "none" else recipe.target,
        mode="train" if recipe.method == "fast" else "eval",
        check=False,  # the trainer looks at the loss; the device need not wait for more
    )


def build_task(recipe: Recipe, model: nn.Module, device: torch.device) -> StandardTask:
    """The task that trains the model, on the device.

    Raises:
        ValueError: If the method cannot train this model: it has no batch norms.
    """
    config = data_config(model)
    settings: dict[str, Any] = {
        "mean": config["mean"],
        "std": config["std"],
        "criterion_kwargs": {"smoothing": recipe.label_smoothing},
        "device": device,
    }
    model = model.to(device)
    if recipe.method == "standard":
        return StandardTask(model, **settings)
    attack = build_attack(recipe)
    if recipe.method == "fast":
        return FastAdvPropTask(model, attack, share=recipe.share, **settings)
    task = AdvPropTask if recipe.method == "advprop" else AdversarialTask
    return task(model, attack, **settings)


def build_optimiser(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the model's parameters.

    Raises:
        ValueError: If there is no such optimiser, or it does not take these arguments.
    """
    settings: dict[str, Any] = {
        "opt": recipe.opt,
        "lr": recipe.scaled_lr,
        "weight_decay": recipe.weight_decay,
        "momentum": recipe.momentum,
    }
    try:
        return create_optimizer_v2(model, **settings | recipe.opt_args)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the optimiser {recipe.opt!r} cannot be made: {error}") from error


def build_schedule(
    recipe: Recipe, optimiser: torch.optim.Optimizer, steps_per_epoch: int
) -> Scheduler | None:
    """The schedule of the learning rate, by optimiser step.

    Raises:
        ValueError: If there is no such schedule.
    """
    settings: dict[str, Any] = {
        "num_epochs": recipe.epochs,
        "warmup_epochs": recipe.warmup_epochs,
        "warmup_lr": recipe.warmup_lr,
        "decay_epochs": recipe.decay_epochs,
        "decay_rate": recipe.decay_rate,
    }
    schedule: Scheduler | None
    schedule, _ = create_scheduler_v2(
        optimiser, recipe.sched, **settings, step_on_epochs=False, updates_per_epoch=steps_per_epoch
    )
    return schedule


def set_batch_norm_momentum(model: nn.Module, momentum: float) -> None:
    """Sets the share of a batch in the running statistics (PyTorch's sense) of every batch norm."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum
