"""The losses of a run, summed on the device and looked at now and then."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from advprop.runtime import World


class Losses:
    """Means of the losses since the last record, summed on the device so that it need not wait."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sums: dict[str, Tensor] = {}
        self.count: int = 0

    def add(self, parts: Mapping[str, Tensor]) -> None:
        """The losses of one more part of a batch."""
        for name, value in parts.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1

    def share(self) -> None:
        """Gives every rank the mean of the sums of all, so that what one of them saves is true of all."""
        if self.world.ranks > 1 and self.sums:
            total = self.world.sum(torch.stack(list(self.sums.values()))) / self.world.ranks
            self.sums = dict(zip(self.sums, total.unbind(), strict=True))

    def mean(self) -> dict[str, float]:
        """The means over steps and ranks; the sums begin anew."""
        if not self.sums:
            return {}
        total = self.world.sum(torch.stack(list(self.sums.values()))) / (self.count * self.world.ranks)
        means = dict(zip(self.sums, total.tolist(), strict=True))
        self.sums, self.count = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """The sums so far."""
        return {"sums": {name: float(value) for name, value in self.sums.items()}, "count": self.count}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes over sums."""
        self.sums = {name: torch.tensor(v, device=self.world.device) for name, v in state["sums"].items()}
        self.count = state["count"]
