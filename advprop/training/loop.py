"""One optimizer step after the other, and the state between them."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from inspect import signature
from typing import Any

import torch
from timm.scheduler.scheduler import Scheduler
from timm.utils.model import unwrap_model
from torch import Tensor, amp
from torch.nn.parallel import DistributedDataParallel

from advprop.attacks import PixelModel
from advprop.data import Augment, Batches, Data, Division, open_data
from advprop.evaluation import Accuracy, Answers, evaluate_answers
from advprop.models import data_config
from advprop.recipes import Recipe
from advprop.runtime import World, largest_magnitude, seed_all
from advprop.tasks import StandardTask
from advprop.training.build import build_augment, build_model, build_optimizer, build_schedule, build_task
from advprop.training.meters import Losses
from advprop.training.parts import check_parts, check_trainable, images_per_test
from advprop.training.preflight import check_ranks, check_resumed, check_size

# World.share_buffers does it in DDP's place; from torch 2.15 on the argument has a new name.
_SYNC = "forward_sync_buffers"
_UNSHARED_BUFFERS = {
    _SYNC if _SYNC in signature(DistributedDataParallel).parameters else "broadcast_buffers": False
}


class Loop:
    """What is trained and how, at some step of the run.

    All that a step does follows from the state and the number of the step, so that a run which goes on
    from `state()` ends as one that was never interrupted.

    Args:
        recipe: What to do.
        world: This process among the ranks.
        data: What to train and test on; by default the data of the recipe.
        division: Which images of a folder without splits are for training; by default it is made.

    Raises:
        ValueError: If the recipe is impossible.
    """

    def __init__(
        self, recipe: Recipe, world: World, data: Data | None = None, division: Division | None = None
    ) -> None:
        self.recipe = recipe
        self.world = world
        self.step: int = 0
        self.seconds: float = 0.0
        data = data or open_data(recipe, recipe, data_config(recipe.model), recipe.seed, division)
        self.train_fingerprint: str = check_ranks(world, data)
        self.data: Data = data.to(world.device)
        ranks = {"rank": world.rank, "ranks": world.ranks}
        check_parts(recipe, world.ranks, len(self.data.train))
        self.train_batches: Batches = Batches(
            self.data.train, recipe.batch_size, recipe.seed, repeats=recipe.aug_repeats, **ranks
        )
        size = images_per_test(recipe, world.ranks, self.data.shape) * world.ranks
        self.test_batches: Batches = Batches(self.data.test, size, **ranks)
        seed_all(recipe.seed, 0, 0)  # every rank begins with the same weights
        model = build_model(recipe, self.data)
        self.augment: Augment = build_augment(recipe, self.data, model)
        self.task: StandardTask = build_task(recipe, model, len(self.data.class_names), world.device)
        check_size(self.task.trainable_module, recipe.model, self.data.shape)
        check_trainable(self.task, recipe, world.ranks, self.data)
        self.optimizer: torch.optim.Optimizer = build_optimizer(recipe, self.task.trainable_module)
        self.schedule: Scheduler | None = build_schedule(recipe, self.optimizer, len(self.train_batches))
        self.scaler: amp.GradScaler = amp.GradScaler(world.device.type, enabled=recipe.precision == "fp16")
        self.losses: Losses = Losses(world)
        self.watched_until = 0
        self.tested: Answers | None = None  # what the model as it is now has answered in a test
        if recipe.ema is not None:
            self.task.setup_ema(recipe.ema)
        if recipe.compile:
            self.task.compile()
        if world.ranks > 1:
            self.task.prepare_distributed([world.device.index], **_UNSHARED_BUFFERS)

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run."""
        return self.recipe.epochs * len(self.train_batches)

    @property
    def epoch(self) -> float:
        """How many epochs are done."""
        return self.step / len(self.train_batches)

    @property
    def lr(self) -> float:
        """The learning rate of the next step; with `layer_decay` that of the last layers."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def advance(self, images: Tensor, labels: Tensor) -> None:
        """Takes one optimizer step.

        Args:
            images: This rank's part of the batch `[B, C, H, W]`, pixels in [0, 1].
            labels: Classes `[B]`.

        Raises:
            FloatingPointError: If a watched step's loss or gradient is no number; the state is as before.
        """
        seed_all(self.recipe.seed, self.world.rank, self.step + 1)
        before = [buffer.clone() for buffer in self.task.trainable_module.buffers()] if self.watched else []
        if self.schedule is not None:
            self.schedule.step_update(self.step)
        self.task.train()
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad()
        parts = self.backward(self.augment(images), labels)
        if self.watched:
            self.check_step(torch.stack([part["loss"] for part in parts]).mean(), before)
        for part in parts:
            self.losses.add(part)
        if self.recipe.clip_grad is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.task.get_clip_parameters(), self.recipe.clip_grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.world.share_buffers(self.task.trainable_module)
        self.step += 1
        self.tested = None
        self.task.update_ema(self.step)

    def backward(self, images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        """Adds up the gradients of the batch, part by part; the losses of each part."""
        count, cast = self.recipe.accumulate, self.autocast_dtype
        unshared: Callable[[], AbstractContextManager[None]] = self.task.no_sync
        losses = []
        for number, part in enumerate(zip(images.chunk(count), labels.chunk(count), strict=True), 1):
            with unshared() if number < count else nullcontext():
                with nullcontext() if cast is None else torch.autocast(self.world.device.type, cast):
                    found = self.task(*part)
                self.scaler.scale(found["loss"] / count).backward()
            losses.append({k: v.detach().float() for k, v in found.items() if k.startswith("loss")})
        return losses

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """What forward passes are cast to; None for fp32."""
        return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.recipe.precision]

    @property
    def watched(self) -> bool:
        """Whether the loss and the gradient of the next step are looked at before it is taken.

        On a GPU that would make the host wait for the device in each step; there the losses are looked at
        when they are recorded, and a run that finds one that is no number goes back and watches.
        """
        return self.step_is_watched(self.step)

    def step_is_watched(self, step: int) -> bool:
        """Whether the step that follows so many others is."""
        return self.world.device.type == "cpu" or step < self.watched_until

    def check_step(self, loss: Tensor, before: list[Tensor]) -> None:
        """Raises FloatingPointError if a loss or a gradient is no number, and puts buffers back as before.

        The gradients of fp16 are left to the scaler, which skips a step when they are too large for it.
        """
        parameters = [] if self.scaler.is_enabled() else self.task.trainable_module.parameters()
        gradients = [p.grad for p in parameters if p.grad is not None]
        largest = largest_magnitude(gradients).to(loss.device)
        found = self.world.sum(torch.stack([loss, largest])) / self.world.ranks
        if torch.isfinite(found).all():
            return
        for buffer, value in zip(self.task.trainable_module.buffers(), before, strict=True):
            buffer.copy_(value)
        epoch, batch = divmod(self.step, len(self.train_batches))
        wrong = f"loss is {found[0]:g}" if not torch.isfinite(found[0]) else f"gradient is {found[1]:g}"
        raise FloatingPointError(
            f"the {wrong} in step {self.step + 1} (epoch {epoch + 1}, batch {batch + 1}), at a "
            f"learning rate of {self.lr:.3g}; a lower one, a longer warm-up or --clip-grad may help"
        )

    def is_sound(self) -> bool:
        """Whether losses and weights are numbers so far, on all ranks; this waits for the device."""
        self.losses.share()
        weights = [p.detach() for p in self.task.trainable_module.parameters()]
        largest = largest_magnitude(weights)
        return all(math.isfinite(value) for value in (*self.losses.sums.values(), largest))

    def model(self) -> PixelModel:
        """The model as a function of pixels, without what training put around it."""
        return self.task.pixels(unwrap_model(self.task.get_eval_model(ema=self.task.has_ema())))

    def test(self) -> Accuracy:
        """Accuracy on the test images, over all ranks."""
        return self.answers().accuracy

    def answers(self) -> Answers:
        """What the model answers to the test images of this rank; a test that it has had is not repeated."""
        if self.tested is None:
            self.tested = evaluate_answers(self.model(), self.test_batches, autocast=self.autocast_dtype)
        return self.tested

    def state(self) -> dict[str, Any]:
        """All that the following steps depend on, in tensors and numbers."""
        task = self.task.get_checkpoint_state()
        averaged = self.task.get_checkpoint_state(ema=True) if self.task.has_ema() else {}
        return {
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses.state(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "scaler": self.scaler.state_dict(),
            "model": task["state_dict"],
            "task": task.get("task_state"),
            "ema": averaged.get("state_dict_ema"),
            "images": asdict(self.data.images),
            "train_images": len(self.data.train),
            "train_fingerprint": self.train_fingerprint,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes over the state of another loop of the same recipe.

        Raises:
            ValueError: If the data are not those of the state.
        """
        check_resumed(state, self.data, self.train_fingerprint, self.recipe.data)
        self.step, self.seconds, self.tested = state["step"], state["seconds"], None
        self.losses.load(state["losses"])
        # Checkpoints of version 0.1.0 spell it otherwise.
        self.optimizer.load_state_dict(state.get("optimizer", state.get("optimiser")))
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.task.load_checkpoint_state(state["model"], state.get("task"))
        if self.task.has_ema():
            self.task.load_checkpoint_state(state["ema"], ema=True)
