"""Accuracy of a model: on clean images, on corrupted ones, under an attack; on any branch, over all ranks.

A model takes pixels in [0, 1] here, as attacks and corruptions do; `PixelModel` brings the normalisation.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeAlias, TypedDict, TypeVar, Unpack

import torch
import torch.distributed as dist
from timm.task import ClassificationEvaluator
from torch import Tensor, nn
from tqdm import tqdm

from advprop.attacks import PGD, check_classes, check_pixels, in_mode, without_ddp
from advprop.evaluation.accuracy import Accuracy
from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from advprop.norms import MAIN, branch_names, use_branch
from advprop.runtime import images_without_padding, rank_and_ranks

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]
Key = TypeVar("Key", bound=Hashable)
Number = TypeVar("Number", int, float)


class Options(TypedDict, total=False):
    """The options that `evaluate` shares with `evaluate_corruptions` and `evaluate_attacks`."""

    branch: str
    seed: int
    device: torch.device | str | None
    autocast: torch.dtype | None
    all_ranks: bool
    progress: bool


def evaluate(
    model: nn.Module,
    batches: Batches,
    *,
    corruption: str | None = None,
    severity: int | None = None,
    attack: PGD | None = None,
    **options: Unpack[Options],
) -> Accuracy:
    """Accuracy of a model on images as they are, corrupted, or attacked (after the corruption, if both).

    The model runs in evaluation mode, and every training flag is as before afterwards. Over several
    ranks every image counts once: give each rank its share (`rank_share`), or a loader with a sampler that
    pads, whose padding is left out. Image `i` of rank `r` of `n` is taken for number `r + i * n` of the data
    set, as those samplers have it, so that corruptions are the same over any number of ranks.

    Args:
        model: Pixels `[B, C, H, W]` in [0, 1] to logits `[B, classes]`. DistributedDataParallel is taken
            off, since ranks may have different numbers of batches.
        batches: Pixels `[B, C, H, W]` in [0, 1] and classes `[B]`.
        corruption: One of `CORRUPTIONS`.
        severity: 1 to 5, for a corruption.
        attack: An attack on the branch that is evaluated; for the usual robust accuracy an untargeted one.
        **options: `branch` (`"main"`) to evaluate; `seed` (0) of corruptions and attacks; `device` (the
            model's); `autocast`, torch.bfloat16 or torch.float16, for mixed precision; `all_ranks` (True),
            whether to count over all ranks of torch.distributed, where it runs, or this one's images only;
            `progress` (False), whether to show a bar.

    Raises:
        ValueError: If there are no images, pixels of the first batch are outside [0, 1], the model does not
            have its classes or such a branch, or a corruption has no severity.
        FloatingPointError: If a logit is not a number.

    Examples:
        >>> import torch
        >>> from advprop import create_model, evaluate
        >>> model = create_model("advprop_convnet", num_classes=10)
        >>> batches = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))]
        >>> evaluate(model, batches, corruption="fog", severity=3).n
        4
    """
    if (corruption is None) != (severity is None):
        raise ValueError(f"corruption and severity go together, got {corruption!r} and {severity!r}")
    return _accuracies(model, batches, {None: _View(corruption, severity, attack)}, **options)[None]


def evaluate_corruptions(
    model: nn.Module,
    batches: Batches,
    kinds: str | Sequence[str] = CORRUPTIONS,
    severities: int | Sequence[int] = SEVERITIES,
    **options: Unpack[Options],
) -> dict[str, dict[int, Accuracy]]:
    """Accuracy by kind and severity of corruption, `table["fog"][3]`, in one pass over the batches.

    Args:
        model: As for `evaluate`.
        batches: As for `evaluate`.
        kinds: One or some of `CORRUPTIONS`.
        severities: One or some of 1 to 5.
        **options: As for `evaluate`.

    Examples:
        >>> import torch
        >>> from advprop import create_model, evaluate_corruptions, mean_corruption_error
        >>> model = create_model("advprop_convnet", num_classes=10)
        >>> batches = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))]
        >>> table = evaluate_corruptions(model, batches, kinds=("fog", "snow"))
        >>> table["fog"][3].n, 0 <= mean_corruption_error(table) <= 1
        (4, True)
    """
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    severities = _several(severities)
    views = {(kind, severity): _View(kind, severity) for kind in kinds for severity in severities}
    found = _accuracies(model, batches, views, **options)
    return {kind: {severity: found[kind, severity] for severity in severities} for kind in kinds}


def evaluate_attacks(
    model: nn.Module,
    batches: Batches,
    eps: float | Sequence[float] = (1 / 255, 2 / 255, 4 / 255, 8 / 255),
    steps: int | Sequence[int] = (1, 5, 10),
    attack: PGD | None = None,
    **options: Unpack[Options],
) -> dict[float, dict[int, Accuracy]]:
    """Accuracy by eps and steps of an attack, `table[4 / 255][10]`, in one pass over the batches.

    The step size follows as 2.5 * eps / steps (Madry et al. 2018, section 5), so that every attack can
    reach and cross its ball.

    Args:
        model: As for `evaluate`.
        batches: As for `evaluate`.
        eps: Radius or radii, in pixels of [0, 1].
        steps: Number or numbers of steps.
        attack: The attack whose eps, steps and step size are set; `PGD(targeted=None)` by default.
        **options: As for `evaluate`.

    Examples:
        >>> import torch
        >>> from advprop import create_model, evaluate_attacks
        >>> model = create_model("advprop_convnet", num_classes=10)
        >>> batches = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))]
        >>> table = evaluate_attacks(model, batches, eps=(2 / 255, 8 / 255), steps=(5,))
        >>> sorted(table) == [2 / 255, 8 / 255]
        True
    """
    base = attack or PGD(targeted=None)
    eps, steps = _several(eps), _several(steps)
    views = {
        (radius, count): _View(
            attack=replace(base, eps=radius, steps=count, step_size=2.5 * radius / max(count, 1))
        )
        for radius in eps
        for count in steps
    }
    found = _accuracies(model, batches, views, **options)
    return {radius: {count: found[radius, count] for count in steps} for radius in eps}


def _several(values: Number | Sequence[Number]) -> Sequence[Number]:
    return values if isinstance(values, Iterable) else (values,)


@dataclass(frozen=True)
class _View:
    """What is done to the images before the model sees them."""

    corruption: str | None = None
    severity: int | None = None
    attack: PGD | None = None

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        numbers: range,
        seed: int,
        chance: torch.Generator,
    ) -> Tensor:
        if self.corruption is not None and self.severity is not None:
            images = corrupt(
                images,
                self.corruption,
                self.severity,
                seed=seed,
                first_index=numbers.start,
                index_step=numbers.step,
                check=False,
            )
        return self.attack(model, images, labels, generator=chance) if self.attack else images


def _accuracies(
    model: nn.Module,
    batches: Batches,
    views: Mapping[Key, _View],
    *,
    branch: str = MAIN,
    seed: int = 0,
    device: torch.device | str | None = None,
    autocast: torch.dtype | None = None,
    all_ranks: bool = True,
    progress: bool = False,
) -> dict[Key, Accuracy]:
    """Accuracy in each view, in one pass; the device waits for nothing but the first batch's check."""
    model = without_ddp(model)
    if not views:
        raise ValueError(
            "there is nothing to evaluate; name one kind and severity, or eps and steps, at least"
        )
    rank, ranks = rank_and_ranks(all_ranks)
    place = _device(model) if device is None else torch.device(device)
    limit = images_without_padding(batches)
    counters = {key: ClassificationEvaluator(place, max_samples=limit) for key in views}
    chances = {key: torch.Generator(place).manual_seed((seed + rank) % 2**63) for key in views}
    seen = 0
    with in_mode(model, "eval"), _on_branch(model, branch), torch.no_grad(), _mixed(place, autocast):
        for images, labels in tqdm(batches, "evaluating", disable=not progress or rank > 0):
            images, labels = images.to(place, non_blocking=True), labels.to(place, non_blocking=True)
            if not seen:
                check_pixels(images)
            numbers = range(rank + ranks * seen, rank + ranks * (seen + len(images)), ranks)
            for key, view in views.items():
                logits = model(view(model, images, labels, numbers, seed, chances[key]))
                if not seen:
                    check_classes(labels, logits.shape[1])
                _count(counters[key], logits, labels)
            seen += len(images)
    return _totals(counters, reduce=ranks > 1)


def _count(counter: ClassificationEvaluator, logits: Tensor, labels: Tensor) -> None:
    try:
        counter.update(logits, labels)
    except IndexError:  # on a CPU, of a class that the model does not have
        check_classes(labels, logits.shape[1])
        raise


def _totals(counters: Mapping[Key, ClassificationEvaluator], reduce: bool) -> dict[Key, Accuracy]:
    """The counts over all ranks as accuracies."""
    counts = torch.stack([counter.counts for counter in counters.values()])
    losses = torch.stack([counter.loss_sum for counter in counters.values()])
    if reduce:
        dist.all_reduce(counts)
        dist.all_reduce(losses)
    found = {}
    for key, (n, top1, top5), loss in zip(counters, counts.tolist(), losses.tolist(), strict=True):
        if not n:
            raise ValueError("there are no images to evaluate: the batches are empty, or were used up before")
        if math.isnan(loss):
            what = "clean images" if key is None else f"view {key}"
            raise FloatingPointError(f"the model has logits that are not numbers on {what}; evaluate in fp32")
        found[key] = Accuracy(top1=top1 / n, top5=top5 / n, n=n, loss=loss / n)
    return found


def _device(model: nn.Module) -> torch.device:
    tensor = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def _on_branch(model: nn.Module, branch: str) -> AbstractContextManager[None]:
    plain = branch == MAIN and branch_names(model) == (MAIN,)
    return nullcontext() if plain else use_branch(model, branch)


def _mixed(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
