"""The norm layers of a model: which there are, and why some cannot have auxiliary copies."""

from collections import Counter
from collections.abc import Iterator
from typing import Literal, TypeAlias

from timm import layers as timm_layers
from timm.layers.grn import GlobalResponseNorm
from timm.layers.norm_act import FrozenBatchNormAct2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parallel import DistributedDataParallel
from torchvision.ops.misc import FrozenBatchNorm2d

Norms: TypeAlias = Literal["batch", "all"] | tuple[type[nn.Module], ...]

_FROZEN_TYPES = (FrozenBatchNorm2d, FrozenBatchNormAct2d)
# Every norm of torch and timm, by its class: timm's own derive from torch's where they can.
_NORM_TYPES: tuple[type[nn.Module], ...] = (
    _BatchNorm,
    _InstanceNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    GlobalResponseNorm,
    *_FROZEN_TYPES,
    *(
        kind
        for name, kind in vars(timm_layers).items()
        if isinstance(kind, type)
        and issubclass(kind, nn.Module)
        and name.startswith(("RmsNorm", "SimpleNorm", "EvoNorm", "FilterResponseNorm", "InplaceAbn"))
    ),
)


def trained_norms(model: nn.Module, norms: Norms, frozen: Literal["error", "leave"]) -> list[nn.Module]:
    """The norm layers of a model that can have auxiliary copies, each once, without those inside another.

    It takes what `add_aux_norm` takes.

    Raises:
        ValueError: If there are none, some are frozen, or the model is one to which none can be added.
    """
    if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
        raise ValueError(
            "the model is in DistributedDataParallel already, which shares only parameters that it was made "
            "with; add auxiliary norms before, then call task.prepare_distributed()"
        )
    found = list(_find_norms(model, norms))
    frozen_names = [name for name, norm in found if _is_frozen(norm)]
    if frozen_names and frozen == "error":
        raise ValueError(
            f"{len(frozen_names)} norm layers are frozen (first: {frozen_names[0]!r}) and could not learn; "
            "unfreeze them, or pass frozen='leave' to keep one set of them for all branches"
        )
    chosen = [norm for _, norm in found if not _is_frozen(norm)]
    if not chosen:
        raise ValueError(_no_norms_message(model, norms))
    inside = {id(part) for norm in chosen for part in norm.modules() if part is not norm}
    chosen = [norm for norm in chosen if id(norm) not in inside]
    _check_batch_first(model, chosen)
    return chosen


def _find_norms(model: nn.Module, norms: Norms) -> Iterator[tuple[str, nn.Module]]:
    kinds = _kinds(norms)
    return ((name, m) for name, m in model.named_modules() if name and isinstance(m, kinds))


def _kinds(norms: Norms) -> tuple[type[nn.Module], ...]:
    if norms == "batch":
        return (_BatchNorm, *_FROZEN_TYPES)
    if norms == "all":
        return _NORM_TYPES
    if isinstance(norms, tuple) and all(isinstance(kind, type) for kind in norms):
        return norms
    raise ValueError(f"norms must be 'batch', 'all' or a tuple of classes of layers, got {norms!r}")


def _is_frozen(norm: nn.Module) -> bool:
    parameters = list(norm.parameters())
    untrained = bool(parameters) and not any(p.requires_grad for p in parameters)
    return isinstance(norm, _FROZEN_TYPES) or untrained


def _check_batch_first(model: nn.Module, chosen: list[nn.Module]) -> None:
    """Raises ValueError if a norm stands beside an attention whose first dimension is not the batch."""
    ids = set(map(id, chosen))
    for name, module in model.named_modules():
        children = list(module.children())
        sequence_first = any(isinstance(c, nn.MultiheadAttention) and not c.batch_first for c in children)
        if sequence_first and any(id(child) in ids for child in children):
            raise ValueError(
                f"the parts of a batch lie along the first dimension, and {name or 'the model'!r} "
                f"({type(module).__name__}) has batch_first=False; make it with batch_first=True"
            )


def _no_norms_message(model: nn.Module, norms: object) -> str:
    if isinstance(model, _NORM_TYPES):
        return f"the model is itself a norm layer, {type(model).__name__}; pass nn.Sequential(model)"
    has = Counter(type(m).__name__ for _, m in _find_norms(model, "all") if not _is_frozen(m))
    kinds = ", ".join(f"{count} {name}" for name, count in has.items())
    advice = "it has no norm layer that is trained at all"
    if kinds:
        advice = f"it has {kinds}: call add_aux_norm(model, norms='all'), before a task is made of it"
    return f"{type(model).__name__} has no norm layer of the kind norms={norms!r}; {advice}"
