"""Auxiliary norms: put into a model and taken out again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from torch import nn

from advprop.norms.aux_norm import AuxNorm, Separate
from advprop.norms.find import Norms, trained_norms
from advprop.norms.route import MAIN, Route

ModelT = TypeVar("ModelT", bound=nn.Module)


def add_aux_norm(
    model: ModelT,
    branches: Sequence[str] = ("adv",),
    *,
    norms: Norms = "batch",
    separate: Separate = "both",
    frozen: Literal["error", "leave"] = "error",
) -> ModelT:
    """Gives every norm layer of a model one auxiliary copy per named branch (AdvProp, section 4.2).

    The auxiliaries start as copies of the main layer. Until `use_branch` says otherwise the model
    goes on through the main layers, bit for bit as before.

    Args:
        model: Any model with norm layers; changed in place.
        branches: Names of the auxiliary branches: one for AdvProp, several for fine-grained AdvProp.
        norms: Which layers get auxiliaries: `"batch"` all batch norms (torch's, timm's with their
            activations, synchronized ones), `"all"` every normalization layer, or classes of layers.
        separate: What an auxiliary branch has of its own: `"both"` affine parameters and statistics,
            or, for ablations, only its `"affine"` parameters or only its `"statistics"`.
        frozen: What to do with frozen norms (frozen classes, or no parameter that is trained):
            refuse with an `"error"`, or `"leave"` them as one set for all branches.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no such norm, has auxiliaries already, has frozen norms, is in
            DistributedDataParallel or has attention with `batch_first=False`, or a branch has an unusable
            name.

    Examples:
        >>> import timm, torch
        >>> from advprop import add_aux_norm, use_branch
        >>> model = add_aux_norm(timm.create_model("test_resnet", num_classes=10))
        >>> with use_branch(model, "adv"):
        ...     logits = model(torch.rand(2, 3, 64, 64))
        >>> logits.shape
        torch.Size([2, 10])
    """
    _check_branches(model, branches)
    if frozen not in ("error", "leave"):
        raise ValueError(f"frozen must be 'error' or 'leave', got {frozen!r}")
    if separate not in ("both", "affine", "statistics"):
        raise ValueError(f"separate must be 'both', 'affine' or 'statistics', got {separate!r}")
    route = Route()
    chosen = trained_norms(model, norms, frozen)
    wrapped = {id(norm): AuxNorm(norm, branches, separate, route) for norm in chosen}
    _replace_children(model, wrapped)
    route.check = model.register_forward_pre_hook(route)
    return model


def remove_aux_norm(model: ModelT, keep: str = MAIN) -> ModelT:
    """Drops all branches but one: the plain model is back, with its own layers and state-dict keys.

    Args:
        model: A model that `add_aux_norm` changed; changed back in place.
        keep: The branch to keep: `"main"` as the paper does, or an auxiliary one to export that.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no auxiliary norms or no such branch.

    Examples:
        >>> import timm
        >>> from advprop import add_aux_norm, remove_aux_norm
        >>> model = timm.create_model("test_resnet")
        >>> keys = list(model.state_dict())
        >>> list(remove_aux_norm(add_aux_norm(model)).state_dict()) == keys
        True
    """
    if keep not in (names := branch_names(model)) or names == (MAIN,):
        raise ValueError(
            f"keep must be a branch of a model with auxiliary norms; it has {names}, got {keep!r}"
        )
    layers = list(aux_norms(model))
    for handle in {layer.route.check for layer in layers if layer.route.check}:
        handle.remove()
    plain = {id(layer): _plain(layer, keep) for layer in layers}
    _replace_children(model, plain)
    return model


def branch_names(model: nn.Module) -> tuple[str, ...]:
    """The branches of a model: `("main", "adv")`; `("main",)` without auxiliary norms.

    Args:
        model: Any model.

    Raises:
        ValueError: If its layers have different branches.

    Examples:
        >>> import timm
        >>> from advprop import add_aux_norm, branch_names
        >>> branch_names(add_aux_norm(timm.create_model("test_resnet"), branches=("weak", "strong")))
        ('main', 'weak', 'strong')
    """
    found = list(dict.fromkeys((MAIN, *layer.aux) for layer in aux_norms(model)))
    if len(found) > 1:
        raise ValueError(
            f"the model holds models with different branches, {' and '.join(map(str, found))}; "
            "give all of them the same auxiliary norms"
        )
    return found[0] if found else (MAIN,)


def aux_norms(model: nn.Module) -> Iterator[AuxNorm]:
    """The wrapped norms of a model, each once."""
    return (layer for layer in model.modules() if isinstance(layer, AuxNorm))


def _plain(layer: AuxNorm, keep: str) -> nn.Module:
    """The layer of one branch, as the layer that the model came with."""
    if keep == MAIN:
        return layer.main
    aux = layer.aux[keep]
    for name, tensor in (*aux.named_parameters(), *aux.named_buffers()):
        place, _, leaf = name.rpartition(".")
        kept = layer.main.get_submodule(place)
        if leaf in kept._parameters:
            whole = tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)
            kept.register_parameter(leaf, whole)
        elif leaf in kept._buffers:
            kept.register_buffer(leaf, tensor.detach(), leaf not in kept._non_persistent_buffers_set)
    return layer.main


def _replace_children(model: nn.Module, new: Mapping[int, nn.Module]) -> None:
    """Puts `new[id(child)]` in the place of each such child, wherever and however often it stands."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and id(child) in new and new[id(child)] is not parent:
                parent._modules[name] = new[id(child)]


def _check_branches(model: nn.Module, branches: Sequence[str]) -> None:
    if (names := branch_names(model)) != (MAIN,):
        raise ValueError(f"the model has auxiliary norms already, {names}; call remove_aux_norm(model) first")
    if isinstance(branches, str) or not branches:
        raise ValueError(f"branches must be a sequence of names such as ('adv',), got {branches!r}")
    for name in branches:
        usable = isinstance(name, str) and name.isidentifier() and not hasattr(nn.ModuleDict(), name)
        if not usable or name in (MAIN, "shared"):
            raise ValueError(
                f"a branch must be a word other than 'main', 'shared' and what a module has, got {name!r}"
            )
    if len(set(branches)) != len(branches):
        raise ValueError(f"each branch must be named once, got {tuple(branches)!r}")
