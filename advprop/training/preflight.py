"""What is tried on copies before a run begins: an image through the model, a step of the optimizer."""

import copy
import io
from typing import Any

import torch
from torch import nn

from advprop.recipes import Recipe
from advprop.training.build import build_optimizer


def check_parts(recipe: Recipe, ranks: int) -> None:
    """Raises ValueError if a batch cannot be split over ranks and accumulated parts."""
    parts = ranks * recipe.accumulate
    even = 2 if recipe.mixup or recipe.cutmix else 1
    unit = parts * even
    if recipe.batch_size % unit:
        pairs = ", and mixup wants pairs of images" if even == 2 else ""
        raise ValueError(
            f"a batch of {recipe.batch_size} cannot be split into {parts} equal parts (ranks: {ranks}, "
            f"accumulate: {recipe.accumulate}){pairs}; {max(1, round(recipe.batch_size / unit)) * unit} could"
        )


def check_size(model: nn.Module, name: str, shape: tuple[int, int, int]) -> None:
    """Raises ValueError if a model cannot take images of this shape; an empty one goes through a copy of it.

    Args:
        model: The model, which stays as it is.
        name: What it is called.
        shape: Channels, height and width of an image.
    """
    image = torch.zeros(1, *shape, device=next(model.parameters()).device)
    try:
        with torch.no_grad():
            copy.deepcopy(model).eval()(image)
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the model must take images of {' x '.join(map(str, shape))}, got {name}, which cannot "
            f"({told}); take another (--model), or images of another size (--image-size)"
        ) from error


def optimizer_bytes(recipe: Recipe, model: nn.Module) -> int:
    """Bytes that the state of the optimizer takes in a checkpoint once it has taken a step.

    It takes one on zeros of the shapes of the model's parameters; the model stays as it is.

    Args:
        recipe: Says which optimizer.
        model: What it will train.

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
        told = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the optimizer must do with the gradient, got {recipe.opt!r}, which cannot take a step "
            f"({told}); take another (--opt)"
        ) from error
    counter = _Counter()
    torch.save(optimizer.state_dict(), counter)
    return counter.size


class _Counter(io.BytesIO):
    """A file that counts its bytes and keeps none."""

    size = 0

    def write(self, data: Any) -> int:
        """Counts some bytes."""
        count = memoryview(data).nbytes
        self.size += count
        return count
