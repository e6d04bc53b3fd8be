"""Batch norms as constants while an attack runs: most vanish in the weights of the layer before them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from advprop.norms.route import Route
from advprop.norms.wiring import (
    WEIGHTED,
    Norm,
    Pairs,
    SavesItself,
    is_question,
    norm_of,
    norms_after_weights,
    plain_saves,
)
from advprop.norms.wrap import aux_norms
from advprop.runtime import is_half

Forward: TypeAlias = Callable[[Tensor], Tensor]

# By model and branch. It says which tensors belong together; nothing that is computed from them is kept.
_FOUND: WeakKeyDictionary[nn.Module, dict[object, Pairs | None]] = WeakKeyDictionary()


def constant_norms(model: nn.Module, images: Tensor) -> Forward:
    """A model in evaluation mode as a function whose batch norms are constants, for the passes of an attack.

    A norm that takes the output of a convolution or linear layer, which nothing else takes, is folded into a
    copy of that layer's weights; any other is one multiplication and addition. Logits and gradients are those
    of the model but for rounding. The model is not touched. What is computed lives as long as the function
    and is right until a parameter or a running statistic changes.

    Which norm follows which layer is seen in a pass of one image, once for each branch. The model itself is
    returned if it is compiled, has hooks, saves activations in its own way (gradient checkpointing), is in
    DistributedDataParallel, computes in fp16 (which has no room for what a norm scales down afterwards), or
    runs several branches.

    Args:
        model: Any model in evaluation mode.
        images: `[B, C, H, W]` that it takes.
    """
    routes = frozenset(layer.route.parts for layer in aux_norms(model))
    if any(len(parts) > 1 for parts in routes) or not len(images) or is_half(images) or not _is_plain(model):
        return model
    found = _FOUND.setdefault(model, {})
    if routes not in found:
        found[routes] = norms_after_weights(model, images[:1])
    pairs = found[routes]
    if pairs is None:
        return model
    constants = _Constants(pairs)

    def forward(images: Tensor) -> Tensor:
        for known in (constants.pairs, {}):
            constants.pairs = known
            try:
                return constants.run(model, images)
            except _Rewired:  # the model was changed: the next attack looks again
                found.pop(routes, None)
            except SavesItself:
                found.pop(routes, None)
                break
        logits: Tensor = model(images)
        return logits

    return forward  # which does not name itself: a cycle would keep the weights until they are collected


def _is_plain(model: nn.Module) -> bool:
    """Whether all that the model does are calls of torch's functions that can be watched."""
    if torch.compiler.is_compiling() or _has_any_global_hook():
        return False
    for module in model.modules():
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        hooks += [*module._backward_pre_hooks.values(), *module._backward_hooks.values()]
        if any(not isinstance(hook, Route) for hook in hooks):
            return False
        compiled = hasattr(module, "_orig_mod") or module._compiled_call_impl is not None
        if compiled or isinstance(module, DistributedDataParallel | torch.jit.ScriptModule):
            return False
    return True


class _Rewired(Exception):
    """The output of a layer did not go to the norm that took it before."""


class _Promise(NamedTuple):
    """What stands for the output of a layer until its norm takes it, and how both are computed then."""

    stand_in: Tensor
    norm: Norm
    compute: Callable[[], Tensor]


class _Constants(TorchFunctionMode):
    """Takes the place of norms while a model runs.

    A layer that a norm is folded into computes nothing itself: it returns a stand-in of the right shape, full
    of NaN, for which the norm computes both. So nothing else can take a wrong output in silence.
    """

    def __init__(self, pairs: Pairs) -> None:
        super().__init__()
        self.pairs = pairs
        self.folded: dict[int, tuple[Tensor, Tensor]] = {}
        self.constants: dict[object, tuple[Norm, Tensor, Tensor]] = {}
        self.waiting: _Promise | None = None
        self.stand_ins: dict[int, Tensor] = {}

    def run(self, model: nn.Module, images: Tensor) -> Tensor:
        """Logits `[B, classes]`.

        Raises:
            _Rewired: If a layer's output went elsewhere than to its norm.
            SavesItself: If the model saves activations in its own way.
        """
        try:
            with self, plain_saves():
                logits: Tensor = model(images)
            if self.waiting is not None:
                raise _Rewired
        finally:
            self.waiting, self.stand_ins = None, {}
        return logits

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_question(func, args):
            return func(*args, **kwargs)
        norm = norm_of(func, args, kwargs)
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            if norm is None or args[0] is not waiting.stand_in or norm.key != waiting.norm.key:
                raise _Rewired
            return waiting.compute()
        if any(id(each) in self.stand_ins for each in _flat((*args, *kwargs.values()))):
            raise _Rewired
        if norm is not None:
            return self.normalized(args[0], norm)
        if func in WEIGHTED and len(args) > 1 and id(args[1]) in self.pairs:
            return self.weighted(func, *args, **kwargs)
        return func(*args, **kwargs)

    def weighted(
        self,
        func: Callable[..., Tensor],
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """What stands for the output of a layer."""
        pair = self.pairs[id(weight)]
        if x.shape[1:] != pair.before:
            return func(x, weight, bias, *args, **kwargs)
        if id(weight) not in self.folded:
            self.folded[id(weight)] = _fold(weight, bias, pair.norm)
        stand_in = x.new_full((1,), torch.nan).expand(len(x), *pair.after)
        compute = partial(func, x, *self.folded[id(weight)], *args, **kwargs)
        self.waiting = _Promise(stand_in, pair.norm, compute)
        self.stand_ins[id(stand_in)] = stand_in
        return stand_in

    def normalized(self, x: Tensor, norm: Norm) -> Tensor:
        """What a norm makes of its input."""
        if norm.key not in self.constants:
            scale, shift = (each.view(-1, *(1 for _ in x.shape[2:])) for each in norm.scale_and_shift())
            self.constants[norm.key] = norm, scale.to(x.dtype), shift.to(x.dtype)
        _, scale, shift = self.constants[norm.key]
        return torch.addcmul(shift, x, scale)


@torch.no_grad()
def _fold(weight: Tensor, bias: Tensor | None, norm: Norm) -> tuple[Tensor, Tensor]:
    scale, shift = norm.scale_and_shift()
    folded = weight * scale.view(-1, *(1 for _ in weight.shape[1:]))
    return folded, shift if bias is None else shift + bias * scale


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    """Arguments of a function of torch, and what is in lists of them."""
    for each in arguments:
        if isinstance(each, list | tuple):
            yield from _flat(each)
        else:
            yield each
