"""One pass over the batches: every view of the images through the model, counted over all ranks."""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import torch
import torch.distributed as dist
from timm.task import ClassificationEvaluator
from torch import Tensor, nn
from tqdm import tqdm

from advprop.attacks import PGD, check_classes, check_pixels, in_mode, without_ddp
from advprop.evaluation.accuracy import Accuracy
from advprop.evaluation.answers import best_classes
from advprop.evaluation.corruptions import corrupt
from advprop.norms import MAIN, branch_names, use_branch
from advprop.runtime import images_without_padding, rank_and_ranks, without_gradients

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class View:
    """What is done to the images before the model sees them."""

    corruption: str | None = None
    severity: int | None = None
    attack: PGD | None = None

    def __str__(self) -> str:
        corruption = f"images with {self.corruption} of severity {self.severity}" if self.corruption else ""
        return " under ".join(filter(None, (corruption or "clean images", str(self.attack or ""))))

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator, **numbers: int
    ) -> Tensor:
        """The changed images; `numbers` are the seed and the place in the data set that `corrupt` takes."""
        if self.corruption is not None and self.severity is not None:
            images = corrupt(images, self.corruption, self.severity, check=False, **numbers)
        return self.attack(model, images, labels, generator=generator) if self.attack else images


def accuracies(
    model: nn.Module,
    batches: Batches,
    views: Sequence[View],
    *,
    branch: str = MAIN,
    seed: int = 0,
    device: torch.device | str | None = None,
    autocast: torch.dtype | None = None,
    all_ranks: bool = True,
    progress: bool = False,
    notes: list[tuple[Tensor, ...]] | None = None,
) -> list[Accuracy]:
    """Accuracy in each view, in one pass; the device waits for nothing but the first batch's check.

    `notes` gets labels, classes and confidences of each batch in each view, on the device.
    """
    model = without_ddp(model)
    if not views:
        raise ValueError(
            "there is nothing to evaluate; name one kind and severity, or eps and steps, at least"
        )
    rank, ranks = rank_and_ranks(all_ranks)
    place = _device(model) if device is None else torch.device(device)
    limit = images_without_padding(batches)
    counters = [ClassificationEvaluator(place, max_samples=limit) for _ in views]
    generators = [torch.Generator(place).manual_seed((seed + rank) % 2**63) for _ in views]
    seen = 0
    with in_mode(model, "eval"), _on_branch(model, branch), without_gradients(), _mixed(place, autocast):
        for images, labels in tqdm(batches, "evaluating", disable=not progress or rank > 0):
            images, labels = images.to(place, non_blocking=True), labels.to(place, non_blocking=True)
            if not seen:
                check_pixels(images)
            numbers = {"seed": seed, "first_index": rank + ranks * seen, "index_step": ranks}
            for view, counter, generator in zip(views, counters, generators, strict=True):
                logits = model(view(model, images, labels, generator, **numbers))
                if not seen:
                    check_classes(labels, logits.shape[1])
                _count(counter, logits, labels)
                if notes is not None:
                    notes.append((labels, *best_classes(logits)))
            seen += len(images)
    return _totals(views, counters, reduce=ranks > 1)


def _count(counter: ClassificationEvaluator, logits: Tensor, labels: Tensor) -> None:
    try:
        counter.update(logits, labels)
    except IndexError:  # on a CPU, of a class that the model does not have
        check_classes(labels, logits.shape[1])
        raise


def _totals(
    views: Sequence[View], counters: Sequence[ClassificationEvaluator], reduce: bool
) -> list[Accuracy]:
    """The counts over all ranks as accuracies."""
    counts = torch.stack([counter.counts for counter in counters])
    losses = torch.stack([counter.loss_sum for counter in counters])
    if reduce:
        dist.all_reduce(counts)
        dist.all_reduce(losses)
    found = []
    for view, (n, top1, top5), loss in zip(views, counts.tolist(), losses.tolist(), strict=True):
        if not n:
            raise ValueError("there are no images to evaluate: the batches are empty, or were used up before")
        if math.isnan(loss):
            raise FloatingPointError(f"the model has NaN logits on {view}; evaluate in fp32")
        attack = str(view.attack or "")
        found.append(Accuracy(top1=top1 / n, top5=top5 / n, n=n, loss=loss / n, attack=attack))
    return found


def _device(model: nn.Module) -> torch.device:
    return next(chain(model.parameters(), model.buffers()), torch.empty(0, device="cpu")).device


def _on_branch(model: nn.Module, branch: str) -> AbstractContextManager[None]:
    plain = branch == MAIN and branch_names(model) == (MAIN,)
    return nullcontext() if plain else use_branch(model, branch)


def _mixed(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
