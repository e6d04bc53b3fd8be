"""Accuracy of a model: on clean images, on corrupted ones, under an attack; on any branch, over all ranks.

A model takes pixels in [0, 1] here, as attacks and corruptions do; `PixelModel` brings the normalization.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict, TypeVar, Unpack

import torch
from torch import Tensor, nn

from advprop.attacks import PGD
from advprop.evaluation.accuracy import Accuracy
from advprop.evaluation.answers import Answers
from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES
from advprop.evaluation.one_pass import Batches, View, accuracies
from advprop.runtime import images_without_padding, rank_and_ranks

Row = TypeVar("Row", bound=Hashable)
Column = TypeVar("Column", bound=Hashable)
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
        attack: An attack on the branch that is evaluated; the accuracy says which it was.
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
    [found] = accuracies(model, batches, [View(corruption, severity, attack)], **options)
    return found


def evaluate_answers(model: nn.Module, batches: Batches, **options: Unpack[Options]) -> Answers:
    """What a model answers to each clean image of this rank, with the accuracy over all ranks, in one pass.

    It takes and raises what `evaluate` does.

    Examples:
        >>> import torch
        >>> from advprop import create_model
        >>> from advprop.evaluation import evaluate_answers
        >>> model = create_model("advprop_convnet", num_classes=10)
        >>> answers = evaluate_answers(model, [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))])
        >>> answers.numbers.tolist(), answers.classes.shape
        ([0, 1, 2, 3], torch.Size([4]))
    """
    notes: list[tuple[Tensor, ...]] = []
    [accuracy] = accuracies(model, batches, [View()], notes=notes, **options)
    rank, ranks = rank_and_ranks(options.get("all_ranks", True))
    count = images_without_padding(batches)
    labels, classes, confidences = (torch.cat(each)[:count].cpu() for each in zip(*notes, strict=True))
    numbers = torch.arange(len(labels)) * ranks + rank
    return Answers(
        accuracy=accuracy, numbers=numbers, labels=labels, classes=classes, confidences=confidences
    )


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
    views = {kind: {level: View(kind, level) for level in _several(severities)} for kind in kinds}
    return _table(model, batches, views, **options)


def evaluate_attacks(
    model: nn.Module,
    batches: Batches,
    eps: float | Sequence[float] = (1 / 255, 2 / 255, 4 / 255, 8 / 255),
    steps: int | Sequence[int] | None = None,
    attack: PGD | None = None,
    **options: Unpack[Options],
) -> dict[float, dict[int, Accuracy]]:
    """Accuracy by eps and steps of an attack, `table[4 / 255][10]`, in one pass over the batches.

    The step size follows as 2.5 * eps / steps (Madry et al. 2018, section 5), so that every attack can
    reach and cross its ball; FGSM takes its one step of eps.

    Args:
        model: As for `evaluate`.
        batches: As for `evaluate`.
        eps: Radius or radii, in pixels of [0, 1].
        steps: Number or numbers of steps; by default 1, 5 and 10, or those that the attack always takes.
        attack: The attack whose eps, steps and step size are set; `PGD()`, which is untargeted, by default.
        **options: As for `evaluate`.

    Raises:
        ValueError: As for `evaluate`, or if the attack always takes another number of steps.

    Examples:
        >>> import torch
        >>> from advprop import create_model, evaluate_attacks
        >>> model = create_model("advprop_convnet", num_classes=10)
        >>> batches = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]))]
        >>> table = evaluate_attacks(model, batches, eps=(2 / 255, 8 / 255), steps=(5,))
        >>> sorted(table) == [2 / 255, 8 / 255]
        True
    """
    base = attack or PGD()
    if steps is None:
        steps = base.steps if "steps" in base.preset else (1, 5, 10)
    views = {
        radius: {count: View(attack=_with_radius(base, radius, count)) for count in _several(steps)}
        for radius in _several(eps)
    }
    return _table(model, batches, views, **options)


def _with_radius(attack: PGD, eps: float, steps: int) -> PGD:
    """The attack in another ball, with steps that reach and cross it, where the attack leaves that open."""
    step_size = None if "step_size" in attack.preset else 2.5 * eps / max(steps, 1)
    return replace(attack, eps=eps, steps=steps, step_size=step_size)


def _table(
    model: nn.Module,
    batches: Batches,
    views: Mapping[Row, Mapping[Column, View]],
    **options: Unpack[Options],
) -> dict[Row, dict[Column, Accuracy]]:
    every = [view for row in views.values() for view in row.values()]
    found = iter(accuracies(model, batches, every, **options))
    return {key: {column: next(found) for column in row} for key, row in views.items()}


def _several(values: Number | Sequence[Number]) -> Sequence[Number]:
    return values if isinstance(values, Iterable) else (values,)
