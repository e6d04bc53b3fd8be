"""The layer in the place of a norm: the norm itself, its auxiliary copies, and the way through them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import CheckpointFunction

MAIN = "main"

Parts: TypeAlias = tuple[tuple[str, int], ...]
Separate: TypeAlias = Literal["both", "affine", "statistics"]

_AFFINE = ("weight", "bias")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


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

    def __reduce__(self) -> tuple[type[Route], tuple[()]]:
        return Route, ()

    def forget(self) -> None:
        """Takes no backward pass to follow on the passes so far."""
        self._taken.clear()
        self._repeated = False

    def now(self) -> Parts:
        """The parts of the pass under way."""
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return self.parts
        if torch._C._current_graph_task_id() < 0:  # not within a backward pass
            if self._repeated:
                self.forget()
            self._taken.add(self.parts)
            return self.parts
        self._repeated = True
        if _in_reentrant_checkpoint():
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


class BatchCheck:
    """A hook on the call of a whole model: the parts of a batch must add up to its images.

    A layer cannot tell, since it may see several rows an image.

    Args:
        route: That of the model.
    """

    def __init__(self, route: Route) -> None:
        self.route = route

    def __call__(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Raises ValueError if there are parts, and they do not add up to the size of the first input."""
        parts = self.route.now()
        if len(parts) > 1 and inputs and isinstance(inputs[0], Tensor):
            _check_total(parts, inputs[0].shape[0], rows=1)


class AuxNorm(nn.Module):
    """A norm layer (`main`) and its auxiliary copies (`aux`), made by `add_aux_norm`.

    The layer that the model came with is held, not rebuilt: its activation, its drop layer and
    its class stay as they are.

    Args:
        norm: The layer.
        branches: Names of the auxiliary branches.
        separate: What an auxiliary has of its own; see `add_aux_norm`.
        route: The way of the forward passes, the same object for all wrapped norms of a model.

    Raises:
        ValueError: If the layer has nothing of what is to be separate.
    """

    def __init__(self, norm: nn.Module, branches: Sequence[str], separate: Separate, route: Route) -> None:
        super().__init__()
        self.main = norm
        self.aux = nn.ModuleDict({name: _auxiliary(norm, separate) for name in branches})
        self.separate: Separate = separate
        self.route = route
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        """Normalises `x` of `[B, ...]`, each part of the batch through the branch it is routed to.

        Raises:
            ValueError: If the parts do not add up to the size of the batch, or to one that divides it.
            RuntimeError: If a backward pass repeats this one and its branches are not known; see `Route`.
        """
        parts = self.route.now()
        if len(parts) == 1:
            return self._through(parts[0][0], x)
        total = sum(size for _, size in parts)
        # A layer may see several rows an image (windows, tokens); they lie image after image.
        rows = x.shape[0] // total
        _check_total(parts, x.shape[0], rows)
        pieces = torch.split(x, [size * rows for _, size in parts])
        return torch.cat([self._through(name, piece) for (name, _), piece in zip(parts, pieces, strict=True)])

    def _through(self, branch: str, x: Tensor) -> Tensor:
        norm = self.main if branch == MAIN else self.aux[branch]
        if branch == MAIN or self.separate == "both":
            out: Tensor = norm(x)
        else:
            own = dict(norm.named_parameters()) | dict(norm.named_buffers())
            out = functional_call(self.main, own, (x,))
        return out

    def __getattr__(self, name: str) -> Any:
        """Answers for the layer in use, so that code which reads `norm.weight` goes on working."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            found = getattr(super().__getattr__("main"), name)
        if name not in (*_AFFINE, *_STATISTICS):
            return found
        (branch, _), *others = self.route.parts
        if others:
            raise RuntimeError(
                f"something reads `{name}` of a norm while the batch goes through {dict(self.route.parts)}, "
                f"and each branch has its own; send the branches through one after the other"
            )
        own = None if branch == MAIN else getattr(self.aux[branch], name)
        return found if own is None else own

    def extra_repr(self) -> str:
        """The branches, for `print(model)`."""
        return f"branches={(MAIN, *self.aux)}, separate={self.separate!r}"


def _check_total(parts: Parts, received: int, rows: int) -> None:
    total = sum(size for _, size in parts)
    if received != total * rows:
        raise ValueError(
            f"the parts of the batch must add up to its size: {dict(parts)} make {total}, and the batch is "
            f"{received}; pass one concatenated batch of {total} images"
        )


def _in_reentrant_checkpoint() -> bool:
    """Whether a checkpoint of torch's older kind repeats the pass under way."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not CheckpointFunction.backward.__code__:
        frame = frame.f_back
    return frame is not None


def _auxiliary(norm: nn.Module, separate: Separate) -> nn.Module:
    """A copy of `norm` that keeps only the tensors which its branch does not share with the main one."""
    aux = copy.deepcopy(norm)
    shared = {"both": (), "affine": _STATISTICS, "statistics": _AFFINE}[separate]
    for name in shared:
        if name in aux._parameters:
            aux.register_parameter(name, None)
        elif name in aux._buffers:
            aux.register_buffer(name, None)
    if separate != "both" and not any(True for _ in (*aux.parameters(), *aux.buffers())):
        raise ValueError(
            f"separate={separate!r} leaves nothing to separate in {type(norm).__name__}: "
            f"it has no {separate}; use separate='both'"
        )
    return aux
