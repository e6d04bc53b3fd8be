"""One optimiser step after the other, and the state between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from timm.utils.model import unwrap_model
from torch import Tensor

from advprop.accuracy import Accuracy
from advprop.behaviour import PixelModel
from advprop.build import build_data, build_model, build_optimiser, build_schedule, build_task
from advprop.data import Batches
from advprop.evaluate import evaluate
from advprop.recipe import Recipe
from advprop.world import World, seed_step

_TEST_BATCH = 500


class Loop:
    """What is trained and how, at some step of the run.

    All that a step does follows from the state and the number of the step, so that a run which goes on
    from `state()` ends as one that was never interrupted.

    Args:
        recipe: What to do.
        world: This process among the ranks.

    Raises:
        ValueError: If the recipe is impossible.
    """

    def __init__(self, recipe: Recipe, world: World) -> None:
        self.recipe = recipe
        self.world = world
        self.step = 0
        self.seconds = 0.0
        self.data = build_data(recipe).to(world.device)
        ranks = {"rank": world.rank, "ranks": world.ranks}
        self.train_batches = Batches(self.data.train, recipe.batch_size, recipe.seed, **ranks)
        self.test_batches = Batches(self.data.test, _TEST_BATCH * world.ranks, **ranks)
        seed_step(recipe.seed, 0, 0)  # every rank begins with the same weights
        self.task = build_task(recipe, build_model(recipe, self.data), world.device)
        self.optimiser = build_optimiser(recipe, self.task.trainable_module)
        self.schedule = build_schedule(recipe, self.optimiser, len(self.train_batches))
        self.losses = Losses(world)
        if world.ranks > 1:
            self.task.prepare_distributed([world.device.index], broadcast_buffers=False)

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
        """The learning rate of the next step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def advance(self, images: Tensor, labels: Tensor) -> None:
        """Takes one optimiser step.

        Args:
            images: This rank's part of the batch `[B, C, H, W]`, pixels in [0, 1].
            labels: Classes `[B]`.

        Raises:
            FloatingPointError: If the loss is no number; on a GPU that is found with the next record.
        """
        seed_step(self.recipe.seed, self.world.rank, self.step + 1)
        if self.schedule is not None:
            self.schedule.step_update(self.step)
        self.task.train()
        parts = self.task(images, labels)
        self.losses.add(parts)
        if self.world.device.type == "cpu":
            self.check_finite(parts["loss"].item())
        self.optimiser.zero_grad()
        parts["loss"].backward()
        if self.recipe.clip_grad is not None:
            torch.nn.utils.clip_grad_norm_(self.task.get_clip_parameters(), self.recipe.clip_grad)
        self.optimiser.step()
        self.world.share_buffers(self.task.trainable_module)
        self.step += 1

    def check_finite(self, loss: float) -> None:
        """Raises FloatingPointError if a loss is no number."""
        if not math.isfinite(loss):
            epoch, batch = divmod(self.step, len(self.train_batches))
            raise FloatingPointError(
                f"the loss is {loss} in step {self.step + 1} (epoch {epoch + 1}, batch {batch + 1}), at a "
                f"learning rate of {self.lr:.3g}; a lower one, a longer warm-up or --clip-grad may help"
            )

    def model(self) -> PixelModel:
        """The model as a function of pixels, without what training put around it."""
        return self.task.pixels(unwrap_model(self.task.get_eval_model()))

    def test(self) -> Accuracy:
        """Accuracy on the test images, over all ranks."""
        return evaluate(self.model(), self.test_batches)

    def state(self) -> dict[str, Any]:
        """All that the following steps depend on: on the CPU and the GPU alike, tensors and numbers only."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses.state(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule is not None else None,
            "model": self.task.get_checkpoint_state()["state_dict"],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes over the state of another loop of the same recipe."""
        self.step = state["step"]
        self.seconds = state["seconds"]
        self.losses.load(state["losses"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.task.load_checkpoint_state(state["model"])


class Losses:
    """Means of the losses since the last record, summed on the device so that it need not wait.

    Args:
        world: The ranks to take the mean over.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, parts: Mapping[str, Tensor]) -> None:
        """One more step's losses."""
        for name, value in parts.items():
            if name.startswith("loss"):
                value = value.detach().float()
                self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def mean(self) -> dict[str, float]:
        """The means over steps and ranks; the sums begin anew."""
        if not self.sums:
            return {}
        total = self.world.sum(torch.stack(list(self.sums.values()))) / (self.count * self.world.ranks)
        means = dict(zip(self.sums, total.tolist(), strict=True))
        self.sums, self.count = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """The sums so far."""
        return {"sums": {name: float(value) for name, value in self.sums.items()}, "count": self.count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes over sums."""
        self.sums = {name: torch.tensor(v, device=self.world.device) for name, v in state["sums"].items()}
        self.count = state["count"]
