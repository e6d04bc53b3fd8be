"""What is tried on copies before a run begins: an image through the model, a step of the optimizer."""

import copy
import io

import torch
from torch import nn

from advprop.data import Images
from advprop.evaluation import CORRUPTIONS, corrupt
from advprop.recipes import Recipe
from advprop.runtime import brief, is_out_of_memory, without_gradients
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
