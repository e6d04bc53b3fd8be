"""Random numbers that depend on nothing but what they are for: a seed, an image, a purpose."""

import math

import torch
from torch import Tensor

# The increment and the two multipliers of splitmix64 (Steele et al. 2014), as signed numbers.
_STEP = -7046029254386353131
_FIRST = -4658895280553007687
_SECOND = -7723592293110705685
_MEANS = 16 * 255


class Draws:
    """Random numbers for each image of a batch, whatever else is in the batch.

    Number `i` of image `n` is a hash of the seed, `n`, the calls before and `i`, as in the counter-based
    generators of Salmon et al. (2011). So the caller's random state is neither read nor moved, and every
    device and every batch size gives the same numbers, up to rounding.

    Args:
        seed: Any whole number.
        stream: Number of the purpose; each has its own random numbers.
        indices: Number of each image in its data set, `[B]`, int64.
    """

    def __init__(self, seed: int, stream: int, indices: Tensor) -> None:
        signed = (seed + 2**63) % 2**64 - 2**63
        root = torch.tensor(signed, device=indices.device)
        self._keys = _child(_child(_mix(root), torch.tensor(stream, device=indices.device)), indices)
        self._calls = 0

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers of [0, 1), float32, `[B, *shape]`."""
        return self._arrange(*self._pairs(shape), shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32, `[B, *shape]` (Box and Muller)."""
        first, second = self._pairs(shape)
        length = first.neg_().log1p_().mul_(-2).sqrt_()
        angle = second.mul_(2 * math.pi)
        return self._arrange(length * angle.cos(), length.mul_(angle.sin()), shape)

    def poisson(self, means: Tensor, highest: float) -> Tensor:
        """Poisson numbers, float32, for means `[B, ...]` of 0 to `highest`.

        By inversion: where a uniform number falls among the sums of probabilities tells the count. Those
        are kept in one sorted table, a row for each mean (to 1/4080 of the highest, a sixteenth of a gray
        level), as whole numbers of 2**-24.
        """
        longest = math.ceil(highest + 8 * math.sqrt(highest) + 10)
        rows = torch.linspace(0, highest, _MEANS + 1, dtype=torch.float64)[:, None]
        counts = torch.arange(longest, dtype=torch.float64)
        chance = torch.exp(torch.xlogy(counts, rows) - rows - torch.lgamma(counts + 1))
        sums = (chance.cumsum(1).clamp(max=1) * 2**24).round().long()
        sums += torch.arange(_MEANS + 1)[:, None] << 24
        row = (means * (_MEANS / highest)).round().long()
        level = (self.uniform(*means.shape[1:]) * 2**24).long()
        found = torch.searchsorted(sums.flatten().to(means.device), (row << 24) + level, right=True)
        return (found - row * longest).float()

    def _pairs(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Two halves of the uniform numbers that a shape needs, each `[B, half]`: a hash gives two."""
        half = (math.prod(shape) + 1) // 2
        self._calls += 1
        device = self._keys.device
        keys = _child(self._keys, torch.tensor(self._calls, device=device))
        bits = _child(keys[:, None], torch.arange(half, device=device))
        high = (bits >> 40).bitwise_and_(0xFFFFFF).float().mul_(2**-24)
        return high, bits.bitwise_and_(0xFFFFFF).float().mul_(2**-24)

    @staticmethod
    def _arrange(first: Tensor, second: Tensor, shape: tuple[int, ...]) -> Tensor:
        return torch.cat([first, second], 1)[:, : math.prod(shape)].reshape(len(first), *shape)


def _child(keys: Tensor, numbers: Tensor) -> Tensor:
    return _mix(keys + numbers * _STEP)


def _mix(x: Tensor) -> Tensor:
    """The finalizer of splitmix64; int64 arithmetic wraps, and the masks make its shifts logical."""
    x = (x ^ ((x >> 30) & (2**34 - 1))).mul_(_FIRST)
    x = x.bitwise_xor_((x >> 27).bitwise_and_(2**37 - 1)).mul_(_SECOND)
    return x.bitwise_xor_((x >> 31).bitwise_and_(2**33 - 1))
