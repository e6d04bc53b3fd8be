"""Which batch norm takes the output of which layer, seen in one forward pass of any model."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

WEIGHTED = (F.conv1d, F.conv2d, F.conv3d, F.linear)
"""Functions whose output channels are the first dimension of their weight."""

_QUESTIONS = (
    *(Tensor.dim, Tensor.size, Tensor.is_floating_point),
    *(getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "is_cuda")),
)
_SAVES = "the model saves activations in its own way"


class SavesItself(Exception):
    """The model saves activations in its own way, as gradient checkpointing does."""


class Norm(NamedTuple):
    """What a batch norm in evaluation computes with."""

    mean: Tensor
    var: Tensor
    weight: Tensor | None
    bias: Tensor | None
    eps: float

    @property
    def key(self) -> tuple[object, ...]:
        """The same for the same tensors; tensors that are merely equal differ."""
        return (*map(id, self[:4]), self.eps)

    @torch.no_grad()
    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What it multiplies each channel by, and what it adds then, `[C]` each."""
        scale = (self.var + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -self.mean * scale
        return scale, shift if self.bias is None else shift + self.bias


class Pair(NamedTuple):
    """A weight, the norm after it, and the shapes of an image before the one and after the other."""

    weight: Tensor
    norm: Norm
    before: tuple[int, ...]
    after: tuple[int, ...]


Pairs: TypeAlias = Mapping[int, Pair]
"""By the id of the weight; a pair holds it, so that no other tensor gets its id."""


def norm_of(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Norm | None:
    """The norm, where a function of torch is called that is one and uses running statistics."""
    if func is not F.batch_norm or kwargs["training"] or type(args[0]) is not Tensor:
        return None
    return Norm(args[1], args[2], kwargs["weight"], kwargs["bias"], kwargs["eps"])


def norms_after_weights(model: nn.Module, images: Tensor) -> Pairs | None:
    """Norms that are all that takes the output of a layer with a weight, and follow it at once.

    Args:
        model: Any model in evaluation mode; it is run once.
        images: `[B, C, H, W]` that it takes.

    Returns:
        The norms and weights; None where the model has no batch norm that can be a constant.
    """
    seen = _Seen()
    on_gpu = [images.device] if images.device.type != "cpu" else []
    with torch.random.fork_rng(on_gpu, device_type=images.device.type), torch.enable_grad(), seen:
        try:
            with plain_saves():
                logits = model(images.detach().requires_grad_())
        except SavesItself:
            return None
    if not seen.norms or not isinstance(logits, Tensor) or logits.grad_fn is None:
        return None
    found = seen.taken_by_norms(logits)
    del logits, seen  # what still holds an output then may take it later
    return {id(pair.weight): pair for output, pair in found if output() is None}


@contextmanager
def plain_saves() -> Iterator[None]:
    """Raises SavesItself where a pass saves activations in another way than torch's."""
    try:
        with torch.autograd.graph.disable_saved_tensors_hooks(_SAVES):
            yield
    except RuntimeError as error:
        if str(error) != _SAVES:
            raise
        raise SavesItself from None


def is_question(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether a norm may call it on its input before it computes: no answer depends on a value.

    Those are questions for the shape, and checks that hold: `torch._assert(True, ...)`.
    """
    return func in _QUESTIONS or (len(args) > 0 and args[0] is True)


class _Seen(TorchFunctionMode):
    """Watches a pass for norms, and for layers whose output a norm takes."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = False
        self.last: tuple[weakref.ref[Tensor], Tensor, Tensor] | None = None
        self.found: list[tuple[Any, weakref.ref[Tensor], Pair]] = []
        self.uses: Counter[int] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_question(func, args):
            return func(*args, **kwargs)
        last, self.last = self.last, None
        norm = norm_of(func, args, kwargs)
        if norm is not None:
            self.norms = True
            self.follow(last, args[0], norm)
        result = func(*args, **kwargs)
        if func in WEIGHTED and len(args) > 1 and type(args[1]) is nn.Parameter:
            self.uses[id(args[1])] += 1
            self.last = weakref.ref(result), args[0], args[1]
        return result

    def follow(self, last: tuple[weakref.ref[Tensor], Tensor, Tensor] | None, x: Tensor, norm: Norm) -> None:
        """Notes that a norm took the very tensor that a layer has just computed, with as many channels."""
        if last is not None and last[0]() is x and x.ndim == last[2].ndim:
            pair = Pair(last[2], norm, tuple(last[1].shape[1:]), tuple(x.shape[1:]))
            self.found.append((x.grad_fn, last[0], pair))

    def taken_by_norms(self, logits: Tensor) -> list[tuple[weakref.ref[Tensor], Pair]]:
        """Outputs that nothing but a norm took, by the graph of the logits too."""
        takers = Counter(node for taker in _nodes(logits.grad_fn) for node, _ in taker.next_functions)
        return [
            (output, pair)
            for node, output, pair in self.found
            if node is not None and takers[node] == self.uses[id(pair.weight)] == 1
        ]


def _nodes(first: Any) -> Iterator[Any]:
    """The nodes of a graph, each once."""
    seen, waiting = {first}, [first]
    while waiting:
        node = waiting.pop()
        yield node
        fresh = {after for after, _ in node.next_functions if after is not None} - seen
        seen |= fresh
        waiting += fresh
