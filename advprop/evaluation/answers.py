"""What a model answers to each image: its class and how sure it is, in one pass with the accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor

from advprop.evaluation.accuracy import Accuracy
from advprop.runtime import rank_and_ranks


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a model answers to images, on the CPU.

    Args:
        accuracy: How often it is right, over all ranks.
        numbers: The number of each image in its data set `[N]`.
        labels: The class of each `[N]`.
        classes: The class that the model takes it for `[N]`: that of the largest logit.
        confidences: The probability that the model gives to that class `[N]`, in [0, 1].
    """

    accuracy: Accuracy
    numbers: Tensor
    labels: Tensor
    classes: Tensor
    confidences: Tensor

    def numbered(self, numbers: Sequence[int]) -> "Answers":
        """The same answers, to images of other numbers.

        Raises:
            ValueError: If there are not as many.
        """
        if len(numbers) != len(self.numbers):
            raise ValueError(f"each answer must have a number, got {len(numbers)} for {len(self.numbers)}")
        return replace(self, numbers=torch.tensor(numbers, dtype=torch.int64))

    def of_all_ranks(self) -> "Answers":
        """The answers of all ranks, by number; all ranks must call it."""
        ranks = rank_and_ranks(all_ranks=True)[1]
        shares: list[Answers] = [self] * ranks
        if ranks > 1:
            dist.all_gather_object(shares, self)
        order = torch.cat([share.numbers for share in shares]).argsort()
        names = ("numbers", "labels", "classes", "confidences")
        together = {name: torch.cat([getattr(share, name) for share in shares])[order] for name in names}
        return Answers(accuracy=self.accuracy, **together)


def best_classes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The class of each image `[B]` by its logits `[B, classes]`, and how sure the model is of it."""
    shares = logits.float().softmax(1)
    # Of equal logits the one that the accuracy counts.
    best = logits.float().topk(min(5, logits.shape[1])).indices[:, :1]
    return best[:, 0], shares.gather(1, best)[:, 0]
