"""Re-balancing: shared, main and auxiliary parameters move at the same speed.

The third of the three ideas of Fast AdvProp (Mei et al., ICLR 2022, section 3): a branch sees its share of
the images only, so the gradients of its own parameters are averaged over that share.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Rebalancing:
    """Scales the gradients of the next backward pass, and of no other."""

    def __init__(self) -> None:
        self._hooks: list[RemovableHandle] = []

    def scale_next_gradients(
        self, groups: Mapping[str, Iterable[nn.Parameter]], factors: Mapping[str, float]
    ) -> None:
        """Makes the next backward pass multiply the gradients of each branch's parameters by its factor."""
        for hook in self._hooks:
            hook.remove()
        owners = {p: factor for branch, factor in factors.items() for p in groups[branch]}
        self._hooks = [_scale_once(p, factor) for p, factor in owners.items() if p.requires_grad]


def _scale_once(parameter: nn.Parameter, factor: float) -> RemovableHandle:
    def scale(gradient: Tensor) -> Tensor:
        hook.remove()
        return gradient * factor

    hook: RemovableHandle = parameter.register_hook(scale)
    return hook
