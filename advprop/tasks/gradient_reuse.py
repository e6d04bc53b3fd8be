"""Gradient reuse: the backward pass of an attack gives the gradients of the parameters, too.

The first of the three ideas of Fast AdvProp (Mei et al., ICLR 2022, section 3).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from advprop.attacks import HALF_SCALE
from advprop.runtime import largest_magnitude, rank_and_ranks

# The scale comes back from a halving after so many steps, as that of torch's GradScaler does.
_STEPS_TO_DOUBLE = 2000


def input_and_parameter_gradients(
    loss: Tensor, images: Tensor, parameters: Sequence[nn.Parameter], scale: Tensor | None
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """One backward pass for both: the images, to attack them, and the parameters, to train them.

    Args:
        loss: Of the images.
        images: Where the attack starts, `[B, C, H, W]`; a leaf that needs a gradient.
        parameters: What is trained.
        scale: What the loss is multiplied by on the way, so that gradients survive fp16; None for nothing.

    Returns:
        The gradient with respect to the images, times the scale; a term of value 0 whose gradient is that of
        the loss with respect to the parameters; and all gradients, times the scale. The term, added to the
        loss of the step, travels with it through gradient scaling, accumulation and the one reduction of DDP.
    """
    scaled = loss if scale is None else loss * scale
    gradients = torch.autograd.grad(scaled, [images, *parameters], allow_unused=True)
    found = [(p, g) for p, g in zip(parameters, gradients[1:], strict=True) if g is not None]
    of_loss = [g if scale is None else g / scale for _, g in found]
    kept: Tensor = _Kept.apply(of_loss, *(p for p, _ in found))
    return gradients[0], kept, [gradients[0], *(g for _, g in found)]


class _Kept(torch.autograd.Function):
    """A term of value 0 whose gradient with respect to some parameters is given.

    The sum of each parameter times its gradient would do, but it has no value where one is infinite.
    """

    @staticmethod
    def forward(ctx: Any, gradients: Sequence[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return parameters[0].new_zeros((), dtype=torch.promote_types(parameters[0].dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(gradient * grad_outputs[0] for gradient in ctx.gradients)


@torch.no_grad()
def adapt_scale(scale: Tensor, gradients: Sequence[Tensor]) -> None:
    """Halves the scale in place where a gradient of any rank is not finite, else it grows; nothing waits."""
    finite = largest_magnitude(gradients).isfinite().float()
    if rank_and_ranks(all_ranks=True)[1] > 1:
        dist.all_reduce(finite, dist.ReduceOp.MIN)
    grown = (scale * 2 ** (1 / _STEPS_TO_DOUBLE)).clamp(max=HALF_SCALE)
    scale.copy_(torch.where(finite > 0, grown, scale / 2))
