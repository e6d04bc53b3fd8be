"""Which norms an image passes through, and whose the parameters are."""

import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from torch import nn

from advprop.norms.route import MAIN, Parts, Route
from advprop.norms.wrap import aux_norms, branch_names

Branch: TypeAlias = str | Mapping[str, int]


@contextmanager
def use_branch(model: nn.Module, branch: Branch) -> Iterator[None]:
    """Sends forward passes through a branch; the choice before it is restored at the end, come what may.

    A backward pass may come later: what gradient checkpointing repeats then takes the branch of its time.
    Copies that are made inside start at `"main"`. The choice is the model's, in all threads: it must not run
    in another one meanwhile.

    Args:
        model: A model with auxiliary norms, or anything that holds one (DDP, a compiled model).
        branch: `"main"`, an auxiliary branch, or a mapping of branches to the number of images that
            each takes of a concatenated batch, in order: `{"main": 32, "adv": 32}`. The model that
            `add_aux_norm` was given must then be called with that many.

    Raises:
        ValueError: If the model has no such branch, or a part's size is not a whole number >= 0.
        RuntimeError: In a backward pass with gradient checkpointing, if it goes back through forward passes
            of different branches, or has `use_reentrant=True`.

    Examples:
        >>> import timm, torch
        >>> from advprop import add_aux_norm, use_branch
        >>> model = add_aux_norm(timm.create_model("test_resnet"))
        >>> clean, adversarial = torch.rand(3, 3, 64, 64), torch.rand(2, 3, 64, 64)
        >>> with use_branch(model, {"main": 3, "adv": 2}):
        ...     logits = model(torch.cat([clean, adversarial]))
    """
    parts = _parts(branch)
    _check_known(model, parts)
    routes = _routes(model)
    before = [route.parts for route in routes]
    for route in routes:
        route.parts = parts
    try:
        yield
    finally:
        for route, previous in zip(routes, before, strict=True):
            route.parts = previous


def branch_parameters(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters by whom they belong to: `"shared"`, `"main"` and each auxiliary branch.

    Every parameter of the model is in exactly one list, so the lists can be an optimizer's groups. What the
    branches share is `"shared"`: with `separate="statistics"`, the affine parameters of the norms too.

    Args:
        model: Any model; without auxiliary norms all its parameters are shared.

    Examples:
        >>> import timm
        >>> from advprop import add_aux_norm, branch_parameters
        >>> groups = branch_parameters(add_aux_norm(timm.create_model("test_resnet")))
        >>> {name: len(parameters) for name, parameters in groups.items()}
        {'shared': 17, 'main': 30, 'adv': 30}
    """
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in ("shared", *branch_names(model))}
    seen: set[int] = set()
    for layer in aux_norms(model):
        own = {MAIN: layer.main.parameters()} | {name: aux.parameters() for name, aux in layer.aux.items()}
        if layer.separate == "statistics":  # the affine parameters serve every branch
            own = {"shared": layer.main.parameters()}
        for name, parameters in own.items():
            fresh = [p for p in parameters if id(p) not in seen]
            seen.update(map(id, fresh))
            groups[name] += fresh
    groups["shared"] += [p for p in model.parameters() if id(p) not in seen]
    return groups


def forget_passes(model: nn.Module) -> None:
    """Says that no backward pass will follow on the forward passes so far.

    With gradient checkpointing, one that stays without a backward pass (an exception, a batch that is left
    out) would else be among those that the next backward pass may repeat.
    """
    for route in _routes(model):
        route.forget()


def _routes(model: nn.Module) -> list[Route]:
    """The routes of the model, each once; a model that holds several models has several."""
    return list(dict.fromkeys(layer.route for layer in aux_norms(model)))


def _check_known(model: nn.Module, parts: Parts) -> None:
    known = branch_names(model)
    if known == (MAIN,):
        raise ValueError(f"{type(model).__name__} has no auxiliary norms; call add_aux_norm(model) first")
    for name, _ in parts:
        if name not in known:
            raise ValueError(f"the model has the branches {known}, got {name!r}")


def _parts(branch: Branch) -> Parts:
    if isinstance(branch, str):
        return ((branch, 1),)
    if not isinstance(branch, Mapping):
        raise ValueError(
            "branch must be the name of one, or a mapping of names to numbers of images such as "
            f"{{'main': 4, 'adv': 4}}, got {branch!r}"
        )
    try:
        parts = tuple((name, operator.index(size)) for name, size in branch.items())
    except TypeError:
        parts = ()
    if not sum(size for _, size in parts) or min(size for _, size in parts) < 0:
        raise ValueError(f"parts of a batch must be whole numbers, not all 0, got {dict(branch)}")
    return tuple((name, size) for name, size in parts if size)
