"""Gradients that a task has before the backward pass of its loss.

Gradient reuse is the first of the three ideas of Fast AdvProp (Mei et al., ICLR 2022, section 3): the
backward pass of an attack gives the gradients of the parameters, too. AdvProp in separate passes keeps those
of all passes but the last.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from advprop.attacks import HALF_SCALE
from advprop.runtime import largest_magnitude, rank_and_ranks
from advprop.tasks.standard import StandardTask

# The scale comes back from a halving after so many steps, as that of torch's GradScaler does.
_STEPS_TO_DOUBLE = 2000


class GradientKeeper(StandardTask):
    """A task that has gradients of its parameters early, and adds them to those of its loss.

    In fp16 a gradient may be too large. It is left to the `torch.amp.GradScaler` of the training loop, which
    skips the step; the next step scales the loss of the early pass by half as much.
    """

    scale: Tensor
    trains_auxiliaries = True

    def __init__(self, model: nn.Module, **kwargs: Any) -> None:
        super().__init__(model, **kwargs)
        self.register_buffer("scale", torch.tensor(HALF_SCALE, device=self.device), persistent=False)
        self.scale_moves: bool = False

    def keep_gradients(
        self, loss: Tensor, parameters: Sequence[nn.Parameter], *inputs: Tensor, half: bool
    ) -> tuple[Sequence[Tensor], Tensor]:
        """One backward pass for the parameters, and for what else needs a gradient.

        Args:
            loss: Of some images.
            parameters: What is trained.
            *inputs: Such as the images `[B, C, H, W]` that an attack starts at.
            half: Whether the pass was in fp16; see `is_half`.

        Returns:
            The gradients with respect to the inputs, times some scale; and a term of value 0 whose gradient
            is that of the loss with respect to the parameters. The term, added to the loss of the step,
            travels with it through gradient scaling, accumulation and the one reduction of DDP.
        """
        scale = self.scale.clone() if half else None
        scaled = loss if scale is None else loss * scale
        gradients = torch.autograd.grad(scaled, [*inputs, *parameters], allow_unused=True)
        found = [(p, g) for p, g in zip(parameters, gradients[len(inputs) :], strict=True) if g is not None]
        if half:
            self.scale_moves = True
            adapt_scale(self.scale, [g for g in gradients if g is not None])
        of_loss = [g if scale is None else g / scale for _, g in found]
        kept: Tensor = _Kept.apply(of_loss, *(p for p, _ in found))
        return gradients[: len(inputs)], kept

    def get_task_state(self, module: nn.Module | None = None, ema: bool = False) -> dict[str, Any]:
        """What timm's checkpoints keep beside the model: the scale of early losses, after fp16 alone."""
        return {"scale": self.scale.clone()} if self.scale_moves and not ema else {}

    def load_task_state(
        self,
        state: dict[str, Any] | None,
        strict: bool = True,
        module: nn.Module | None = None,
        ema: bool = False,
    ) -> None:
        """Takes over what `get_task_state` gave; without it the scale stays as it is."""
        if state and not ema:
            self.scale.copy_(state["scale"])
            self.scale_moves = True


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
