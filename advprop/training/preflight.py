"""What is looked at before a run begins: the data, an image through the model, a step of the optimizer."""

import copy
import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from advprop.data import Data, Images, class_of, fingerprint
from advprop.evaluation import CORRUPTIONS, corrupt
from advprop.recipes import Recipe
from advprop.runtime import World, brief, is_out_of_memory, without_gradients
from advprop.training.build import build_optimizer
from advprop.training.refusals import REFUSALS, options


def check_size(model: nn.Module, name: str, shape: tuple[int, int, int]) -> None:
    """Raises ValueError if a model cannot take images `(C, H, W)`; an empty one goes through a copy of it."""
    image = torch.zeros(1, *shape, device=next(model.parameters()).device)
    try:
        with without_gradients():
            copy.deepcopy(model).eval()(image)
    except (*REFUSALS, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"the model must take images of {' x '.join(map(str, shape))}, got {name}, which cannot "
            f"({brief(error)}); take another (--model), or images of another size (--image-size)"
        ) from error


def check_data(recipe: Recipe, images: Images) -> None:
    """Raises ValueError if there is nothing to tell apart, or test images are too small for corruptions."""
    names = images.class_names
    if len(names) < 2:
        raise ValueError(
            f"a classifier must have two classes or more to tell apart, got {len(names)} "
            f"({', '.join(names)}) in {options(recipe, 'data')}; add a folder for each other class, or "
            "give the folder that has the folders of the classes"
        )
    try:
        for severity in recipe.severities:
            corrupt(torch.zeros(1, *images.shape), CORRUPTIONS[0], severity)
    except ValueError as error:
        raise ValueError(
            f"the test images cannot be corrupted at the end, as {options(recipe, 'severities')} asks for: "
            f"{error}; leave the corruptions out (--severities), or take larger images (--image-size)"
        ) from error


def optimizer_bytes(recipe: Recipe, model: nn.Module) -> int:
    """Bytes that the state of the optimizer takes in a checkpoint once it has taken a step.

    It takes one on zeros of the shapes of the model's parameters; the model stays as it is.

    Raises:
        ValueError: If the optimizer cannot be made, or cannot take a step.
    """
    zeros = nn.ParameterList(torch.zeros_like(each) for each in model.parameters() if each.requires_grad)
    optimizer = build_optimizer(recipe, zeros)
    for parameter in zeros.parameters():
        parameter.grad = torch.zeros_like(parameter)
    try:
        optimizer.step()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ValueError(
            f"the optimizer must do with the gradient, got {recipe.opt!r}, which cannot take a step "
            f"({brief(error)}); take another (--opt)"
        ) from error
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    return saved.tell()


def check_ranks(world: World, data: Data) -> str:
    """Raises ValueError unless all ranks have the same data; the fingerprint of the training images."""
    train = fingerprint(data.train)
    if world.ranks == 1:
        return train
    told = (
        f"{len(data.class_names)} classes ({', '.join(data.class_names[:5])}) of {len(data.train)} training "
        f"and {len(data.test)} test images"
    )
    found = world.gather((told, f"{data.class_names} {train} {fingerprint(data.test)}"))
    for rank, (other, exactly) in enumerate(found):
        if exactly != found[0][1]:
            differ = other if other != found[0][0] else "as many others"
            raise ValueError(
                f"all ranks must have the same data, got {found[0][0]} on rank 0, {differ} on rank {rank}"
            )
    return train


def check_resumed(state: Mapping[str, Any], data: Data, train_fingerprint: str, place: str) -> None:
    """Raises ValueError if the data are not those of a state: other classes or training images.

    What a state of an older version has not kept is taken as it is.
    """
    names, known = (tuple(map(class_of, each)) for each in (data.class_names, state["images"]["class_names"]))
    count, wanted = len(data.train), state.get("train_images")
    if names != known:
        other = sorted(set(names) ^ set(known)) or list(names)
        found = f"{len(names)} classes for {len(known)}, of which differ {', '.join(other[:5])}"
    elif wanted is not None and count != wanted:
        found = f"{count} training images for {wanted}"
    elif state.get("train_fingerprint") not in (None, train_fingerprint):
        found = f"{count} training images, some with other names, labels or pixels,"
    else:
        return
    raise ValueError(
        f"a run goes on with the data that it began with, got {found} in {place}; "
        "say where those are (--data), or begin a new run (--out)"
    )
