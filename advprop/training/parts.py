"""How many images go through a model at once, in training and in tests; whether it can train on so few."""

import copy
import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from advprop.data import Images, images_per_epoch
from advprop.norms import MAIN, branch_names, use_branch
from advprop.recipes import Recipe
from advprop.runtime import brief, is_out_of_memory, own_randomness, without_gradients
from advprop.tasks import StandardTask
from advprop.training.refusals import REFUSALS, options

_MOST_IN_TEST = 500
_PHOTO = 3 * 224 * 224  # values of the pixels of a photo as most models take it


def check_parts(recipe: Recipe, ranks: int, images: int) -> None:
    """Raises ValueError if a batch cannot be split over ranks and parts, or is more than all images."""
    parts = ranks * recipe.accumulate
    even = 2 if recipe.mixup or recipe.cutmix else 1
    unit = parts * even
    if recipe.batch_size % unit:
        pairs = ", and mixup wants pairs of images" if even == 2 else ""
        raise ValueError(
            f"a batch of {recipe.batch_size} cannot be split into {parts} equal parts (ranks: {ranks}, "
            f"{options(recipe, 'accumulate')}){pairs}; "
            f"--batch-size {max(1, round(recipe.batch_size / unit)) * unit} could"
        )
    if recipe.batch_size > (count := images_per_epoch(images, recipe.aug_repeats)):
        raise ValueError(
            f"--batch-size must be at most the number of training images, got {recipe.batch_size} for {count}"
        )


def images_per_pass(recipe: Recipe, ranks: int) -> int:
    """Number of images of a batch that one rank trains on at once."""
    return recipe.batch_size // (ranks * recipe.accumulate)


def images_per_test(recipe: Recipe, ranks: int, shape: tuple[int, int, int]) -> int:
    """Number of images of `shape` (C, H, W) that one rank tests at once; by default so many that they fit."""
    if recipe.test_batch_size is not None:
        return recipe.test_batch_size
    return min(_MOST_IN_TEST, max(1, images_per_pass(recipe, ranks), _PHOTO // math.prod(shape)))


def check_trainable(task: StandardTask, recipe: Recipe, ranks: int, images: Images) -> None:
    """Raises ValueError if the model cannot train on its part of a batch: batch norms need several values.

    A copy of the model takes each forward pass of a training step in training mode. A norm that bears two
    images bears more, so a pass has at most two images of each branch.
    """
    model = copy.deepcopy(task.trainable_module).train()
    for sizes in _passes(task, recipe, ranks):
        few = {branch: min(count, 2) for branch, count in sizes.items()}
        problem = _problem(model, few, images)
        if problem and 1 in few.values() and not _problem(model, dict.fromkeys(few, 2), images):
            raise ValueError(_too_few(recipe, ranks, sizes, problem))
        if problem:
            size = " x ".join(map(str, images.shape))
            raise ValueError(f"the model must train on images of {size}, got {recipe.model}: {problem}")


def _passes(task: StandardTask, recipe: Recipe, ranks: int) -> list[dict[str, int]]:
    """The passes of a training step, with the number of images of each branch."""
    try:
        passes = task.passes(images_per_pass(recipe, ranks))
    except ValueError as error:
        raise ValueError(f"{error} ({options(recipe, 'batch_size', 'accumulate', 'share')})") from error
    clean = sum(sizes.get(MAIN, 0) for sizes in passes)
    if task.mixup is not None and clean % 2:
        raise ValueError(
            f"mixup pairs clean images, and {options(recipe, 'batch_size', 'accumulate', 'share')} leaves "
            f"{clean} of them; another --share or --batch-size leaves an even number"
        )
    return passes


def _problem(model: nn.Module, sizes: dict[str, int], images: Images) -> str:
    """What is wrong with a training pass of so many images of each branch; empty if nothing is."""
    count = sum(sizes.values())
    zeros = torch.zeros(count, *images.shape, device=next(model.parameters()).device)
    plain = branch_names(model) == (MAIN,)
    branches: AbstractContextManager[None] = nullcontext() if plain else use_branch(model, sizes)
    try:
        with own_randomness(), without_gradients(), branches:
            logits = model(zeros)
    except (*REFUSALS, ValueError) as error:
        if is_out_of_memory(error):
            raise
        return brief(error)
    wanted = (count, len(images.class_names))
    if not isinstance(logits, Tensor) or logits.shape != wanted:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        return f"its output in training must be {wanted}, a logit for each class, and is {found}"
    return ""


def _too_few(recipe: Recipe, ranks: int, sizes: dict[str, int], problem: str) -> str:
    """That a norm sees a single value, and what gives it more."""
    alone = " and ".join(branch for branch, count in sizes.items() if count == 1)
    ways = ["a larger --batch-size"]
    ways += ["a smaller --accumulate"] * (recipe.accumulate > 1) + ["fewer ranks"] * (ranks > 1)
    ways += ["another --share"] * (recipe.method == "fast")
    got = options(recipe, "batch_size", "accumulate", *(["share"] if recipe.method == "fast" else []))
    return (
        f"batch norms must see more than one value per channel in training, got {got} on "
        f"{'one rank' if ranks == 1 else f'{ranks} ranks'}, which leaves one image at a time to the "
        f"{alone} norms of {recipe.model} ({problem}); take {', '.join(ways)} or larger images (--image-size)"
    )
