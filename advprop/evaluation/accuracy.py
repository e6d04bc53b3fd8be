"""Accuracy as a record, and the two means of the errors on corrupted images that must not be mixed up."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES

_Z95 = 1.959963984540054

# Top-1 error of AlexNet on ImageNet-C, each the mean over five severities (Hendrycks and Dietterich 2019,
# github.com/hendrycks/robustness; to these digits in google-research/augmix, imagenet.py).
ALEXNET_ERRORS: Mapping[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How often a model is right.

    Args:
        top1: Share of the images whose label has the largest logit, in [0, 1].
        top5: Share of the images whose label is among the five largest logits (among all, if fewer).
        n: Number of images.
        loss: Mean cross-entropy.
        attack: The attack on the images; empty if there was none.

    Examples:
        >>> from advprop import Accuracy
        >>> print(Accuracy(top1=0.9, top5=1.0, n=360, loss=0.3))
        90.0 % (86.5 to 92.7, n = 360)
        >>> print(Accuracy(top1=0.9, top5=1.0, n=360, loss=0.3, attack="untargeted PGD"))
        90.0 % (86.5 to 92.7, n = 360) under untargeted PGD
    """

    top1: float
    top5: float
    n: int
    loss: float
    attack: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of `top1` (Wilson), in [0, 1]."""
        return wilson(self.top1, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        under = f" under {self.attack}" if self.attack else ""
        return f"{100 * self.top1:.1f} % ({100 * low:.1f} to {100 * high:.1f}, n = {self.n}){under}"

    def to_dict(self) -> dict[str, Any]:
        """The fields, for a file; without `attack` if there was none."""
        return {name: value for name, value in vars(self).items() if name != "attack" or value}


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share of `n`, in [0, 1] (Wilson 1927).

    Examples:
        >>> from advprop.evaluation import wilson
        >>> [round(end, 3) for end in wilson(0.9, 360)]
        [0.865, 0.927]
    """
    center = share + _Z95**2 / (2 * n)
    spread = _Z95 * math.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n**2))
    shrink = 1 + _Z95**2 / n
    return max(0.0, (center - spread) / shrink), min(1.0, (center + spread) / shrink)


def mean_corruption_error(table: Mapping[str, Mapping[int, Accuracy]]) -> float:
    """The plain mean of the top-1 errors over kinds and severities, in [0, 1]; comparable to no mCE.

    Args:
        table: What `evaluate_corruptions` returns.

    Raises:
        ValueError: If the table is empty.

    Examples:
        >>> from advprop import Accuracy, mean_corruption_error
        >>> half = Accuracy(top1=0.5, top5=1.0, n=10, loss=1.0)
        >>> mean_corruption_error({"fog": {1: half}})
        0.5
    """
    if not table or not all(table.values()):
        raise ValueError("the table of accuracies has no entries for a kind; evaluate one severity at least")
    return fmean(_mean_error(row) for row in table.values())


def mce_alexnet(table: Mapping[str, Mapping[int, Accuracy]]) -> float:
    """The mCE of Hendrycks and Dietterich (2019, section 4.2): errors in units of AlexNet's; 1 is AlexNet.

    It means something on ImageNet only, and on the published ImageNet-C files if it is to be compared with
    published values (which are this times 100): AlexNet's errors are theirs. Elsewhere, take
    `mean_corruption_error`.

    Args:
        table: What `evaluate_corruptions` returns for all 15 kinds and 5 severities.

    Raises:
        ValueError: If a kind or a severity is missing.

    Examples:
        >>> from advprop import CORRUPTIONS, Accuracy, mce_alexnet
        >>> perfect = Accuracy(top1=1.0, top5=1.0, n=10, loss=0.0)
        >>> mce_alexnet({kind: dict.fromkeys(range(1, 6), perfect) for kind in CORRUPTIONS})
        0.0
    """
    missing = [k for k in CORRUPTIONS if set(table.get(k, ())) != set(SEVERITIES)]
    if missing or len(table) != len(CORRUPTIONS):
        raise ValueError(
            f"mCE needs the 15 kinds at severities 1 to 5 and no others, got {len(table)} kinds; "
            f"incomplete: {missing}"
        )
    return fmean(_mean_error(table[kind]) / error for kind, error in ALEXNET_ERRORS.items())


def _mean_error(row: Mapping[int, Accuracy]) -> float:
    return fmean(1 - cell.top1 for cell in row.values())
