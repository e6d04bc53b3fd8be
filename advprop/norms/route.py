"""The way of a forward pass through the branches of a model, for all its wrapped norms at once."""

from __future__ import annotations

import inspect
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction
from torch.utils.hooks import RemovableHandle

MAIN = "main"

Parts: TypeAlias = tuple[tuple[str, int], ...]


class Route:
    """The branches that forward passes take, one object for all wrapped norms of a model.

    With gradient checkpointing a backward pass repeats parts of the forward pass, when the branch of that
    time may have been left; so the route remembers which branches a backward pass may come to ask for.

    A copy of a model has a route of its own, which begins at the main branch.
    """

    def __init__(self) -> None:
        self.parts: Parts = ((MAIN, 1),)
        self._taken: set[Parts] = set()
        self._repeated = False
        self.check: RemovableHandle | None = None
        """What takes the hook off the model again."""

    def __reduce__(self) -> tuple[type[Route], tuple[()], dict[str, Any]]:
        return Route, (), {"check": self.check}

    def __call__(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A hook on the call of a whole model: the parts of a batch must add up to its images.

        A layer cannot tell, since it may see several rows an image.

        Raises:
            ValueError: If there are parts, and they do not add up to the size of the first input.
        """
        parts = self.now()
        if len(parts) > 1 and inputs and isinstance(inputs[0], Tensor):
            check_total(parts, inputs[0].shape[0], rows=1)

    def forget(self) -> None:
        """Takes no backward pass to follow on the passes so far."""
        self._taken.clear()
        self._repeated = False

    def now(self) -> Parts:
        """The parts of the pass under way."""
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return self.parts
        if not in_backward_pass():
            if self._repeated:
                self.forget()
            self._taken.add(self.parts)
            return self.parts
        self._repeated = True
        if in_reentrant_checkpoint():
            raise RuntimeError(
                "a checkpoint with use_reentrant=True hides that a backward pass follows a forward pass, and "
                "which branches that took is not known; pass use_reentrant=False"
            )
        if len(self._taken) != 1:
            raise RuntimeError(
                "gradient checkpointing repeats a forward pass, and which branches that took is one of "
                f"{sorted(map(dict, self._taken), key=str)}; go backward after each forward pass, send all "
                "images in one batch of parts, and take passes without gradients under torch.no_grad()"
            )
        return next(iter(self._taken))


def check_total(parts: Parts, received: int, rows: int) -> None:
    """Raises ValueError if parts do not add up to a batch, of which each image has so many rows."""
    total = sum(size for _, size in parts)
    if received != total * rows:
        raise ValueError(
            f"the parts of the batch must add up to its size: {dict(parts)} make {total}, and the batch is "
            f"{received}; pass one concatenated batch of {total} images"
        )


def in_backward_pass() -> bool:
    """Whether a backward pass is under way; torch has no public way to ask."""
    return torch._C._current_graph_task_id() >= 0


def in_reentrant_checkpoint() -> bool:
    """Whether a checkpoint with `use_reentrant=True` repeats the pass under way; torch has no way to ask."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not CheckpointFunction.backward.__code__:
        frame = frame.f_back
    return frame is not None
