"""The layer in the place of a norm: the norm itself and its auxiliary copies."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call

from advprop.norms.route import MAIN, Route, check_total

Separate: TypeAlias = Literal["both", "affine", "statistics"]

_AFFINE = ("weight", "bias")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _of_branch_in_use(name: str) -> Any:
    """A tensor of the branch in use, for code that reads `norm.weight` and the like."""

    def read(layer: AuxNorm) -> Any:
        (branch, _), *others = layer.route.parts
        if others:
            raise RuntimeError(
                f"something reads `{name}` of a norm while the batch goes through {dict(layer.route.parts)}, "
                f"and each branch has its own; send the branches through one after the other"
            )
        own = None if branch == MAIN else getattr(layer.aux[branch], name, None)
        return getattr(layer.main, name) if own is None else own

    return property(read)


class AuxNorm(nn.Module):
    """A norm layer (`main`) and its auxiliary copies (`aux`), made by `add_aux_norm`.

    The layer that the model came with is held, not rebuilt: its activation, its drop layer and
    its class stay as they are. `add_aux_norm` explains the arguments; all layers of a model have one route.

    Raises:
        ValueError: If the layer has nothing of what is to be separate.
    """

    weight: Any = _of_branch_in_use("weight")
    bias: Any = _of_branch_in_use("bias")
    running_mean: Any = _of_branch_in_use("running_mean")
    running_var: Any = _of_branch_in_use("running_var")
    num_batches_tracked: Any = _of_branch_in_use("num_batches_tracked")

    def __init__(self, norm: nn.Module, branches: Sequence[str], separate: Separate, route: Route) -> None:
        super().__init__()
        self.main = norm
        self.aux: nn.ModuleDict = nn.ModuleDict({name: _auxiliary(norm, separate) for name in branches})
        self.separate: Separate = separate
        self.route = route
        self.training: bool = norm.training

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes `x` of `[B, ...]`, each part of the batch through the branch it is routed to.

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
        check_total(parts, x.shape[0], rows)
        pieces = torch.split(x, [size * rows for _, size in parts])
        return torch.cat([self._through(name, piece) for (name, _), piece in zip(parts, pieces, strict=True)])

    def _through(self, branch: str, x: Tensor) -> Tensor:
        norm = self.main if branch == MAIN else self.aux[branch]
        if branch == MAIN or self.separate == "both":
            out: Tensor = norm(x)
        else:
            out = functional_call(self.main, self._own(norm), (x,))
        return out

    def _own(self, aux: nn.Module) -> dict[str, Tensor]:
        """What a branch puts in the place of the main layer's tensors; what that has frozen is fixed."""
        trained, fixed = dict(self.main.named_parameters()), dict(self.main.named_buffers())
        own = dict(aux.named_parameters()) | dict(aux.named_buffers())
        return {
            name: tensor.detach() if name in fixed and tensor.requires_grad else tensor
            for name, tensor in own.items()
            if name in trained or name in fixed
        }

    def __prepare_scriptable__(self) -> NoReturn:
        """Called by `torch.jit.script`."""
        raise RuntimeError(
            "torch.jit.script cannot compile a model whose norms have branches, chosen as it runs; "
            "call remove_aux_norm(model) first, or export the model: export_timm, export_onnx"
        )

    def __getattr__(self, name: str) -> Any:
        """Answers for the main layer: its settings, its activation."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("main"), name)

    def extra_repr(self) -> str:
        """The branches, for `print(model)`."""
        return f"branches={(MAIN, *self.aux)}, separate={self.separate!r}"


class OwnTensors(nn.Module):
    """What a branch has of its own of a norm that it shares in part: tensors under their names, and no layer.

    The main layer computes with them. What converts layers (to frozen or synchronized ones) passes them by.
    """

    def __init__(self, norm: nn.Module, shared: Sequence[str]) -> None:
        super().__init__()
        for name, parameter in norm.named_parameters(recurse=False):
            if name not in shared:
                self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers(recurse=False):
            if name not in shared:
                self.register_buffer(name, buffer, name not in norm._non_persistent_buffers_set)
        for name, child in norm.named_children():
            self.add_module(name, child)


def _auxiliary(norm: nn.Module, separate: Separate) -> nn.Module:
    """A copy of `norm`, or the tensors of one which its branch does not share with the main one."""
    copied = copy.deepcopy(norm)
    if separate == "both":
        return copied
    own = OwnTensors(copied, {"affine": STATISTICS, "statistics": _AFFINE}[separate])
    if not any(True for _ in (*own.parameters(), *own.buffers())):
        raise ValueError(
            f"separate={separate!r} leaves nothing to separate in {type(norm).__name__}: "
            f"it has no {separate}; use separate='both'"
        )
    return own
