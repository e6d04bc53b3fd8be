"""Fast AdvProp (Mei et al., ICLR 2022): AdvProp at about the price of standard training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from advprop.attack import PGD, check_finite
from advprop.branch import branch_parameters, use_branch
from advprop.norm import MAIN, add_aux_norm, branch_names
from advprop.objective import loss_scale
from advprop.pixels import check_pixels
from advprop.tasks import StandardTask

ADV = "adv"


class FastAdvPropTask(StandardTask):
    """Fast AdvProp (Mei et al., ICLR 2022, section 3).

    A share of each batch is attacked, with one step, and trained on as adversarial images only; the
    rest is trained on as clean images only. The backward pass of the attack gives the gradients of
    the parameters too, and they are kept: every parameter moves along

        g_clean + 0.5 g_noise + 0.5 g_adv,

    averaged over the images that went through it, so that shared, main and auxiliary parameters move
    at the same speed. The adversarial images are shuffled, across all ranks, before they are trained on.

    Args:
        model: Any model with batch norms; the branch `"adv"` is added in place where it has none.
        attack: One untargeted step in training behaviour (batch statistics).
        share: The share p of the images that is attacked, in (0, 1); the paper takes 0.2.
        **kwargs: What `StandardTask` takes: `mean`, `std`, `mixup`, `criterion`, `device` ... The
            criterion must average over images.

    Raises:
        ValueError: If the attack is targeted, has not one step, or runs in evaluation behaviour, or
            the model has other branches than `"adv"`.

    Examples:
        >>> import timm, torch
        >>> from advprop import FastAdvPropTask
        >>> task = FastAdvPropTask(timm.create_model("test_resnet", num_classes=10), share=0.25)
        >>> parts = task(torch.rand(8, 3, 64, 64), torch.randint(10, (8,)))
        >>> parts["loss"].backward()
        >>> sorted(parts)
        ['loss', 'loss_adv', 'loss_clean', 'loss_noise', 'output']
    """

    trains_auxiliaries = True

    def __init__(
        self, model: nn.Module, attack: PGD | None = None, *, share: float = 0.2, **kwargs: Any
    ) -> None:
        attack = attack or PGD(eps=1 / 255, step_size=1 / 255, steps=1, targeted=None, mode="train")
        _check_attack(attack)
        if not 0 < share < 1:
            raise ValueError(f"share must be over 0 and under 1, got {share}")
        if branch_names(model) == (MAIN,):
            add_aux_norm(model, (ADV,))
        if branch_names(model) != (MAIN, ADV):
            raise ValueError(
                f"Fast AdvProp has the branches {(MAIN, ADV)}, the model has {branch_names(model)}"
            )
        super().__init__(model, **kwargs)
        self.attack = attack
        self.share = share
        self._hooks: list[RemovableHandle] = []

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `StandardTask.forward`.

        Parts: `"loss_clean"`, `"loss_noise"` (of the images at the start of the attack) and
        `"loss_adv"`. The gradient of `"loss"` holds that of the noise pass as well.
        """
        n_adv = self._attacked(len(input))
        n_clean = len(input) - n_adv
        adversarial, loss_noise, kept = self._attack(input[n_clean:], self.unmixed(target[n_clean:]))
        adversarial, adv_labels = shuffle_ranks(adversarial, self.unmixed(target[n_clean:]))
        images, labels = self.clean(input[:n_clean], target[:n_clean])
        with use_branch(self.trainable_module, {MAIN: n_clean, ADV: n_adv}):
            logits = self.pixels(self.trainable_module)(torch.cat([images, adversarial]))
        loss_clean = self.criterion(logits[:n_clean], labels)
        loss_adv = self.criterion(logits[n_clean:], adv_labels)
        clean_share, adv_share = n_clean / len(input), n_adv / len(input)
        if torch.is_grad_enabled():
            self._scale_next_gradients({MAIN: 1 / clean_share, ADV: 1 / adv_share})
        return {
            "loss": clean_share * loss_clean + adv_share * 0.5 * (loss_noise + loss_adv + kept),
            "output": logits[:n_clean],
            "loss_clean": loss_clean.detach(),
            "loss_noise": loss_noise,
            "loss_adv": loss_adv.detach(),
        }

    def _attack(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One attack step and what else its backward pass is good for.

        Returns the adversarial images, the loss of the noisy ones, and a term of value 0 whose
        gradient is that of this loss with respect to the parameters: added to the loss of the step, it
        travels with it through gradient scaling, accumulation and the one reduction of DDP.
        """
        if self.attack.check:
            check_pixels(images)
        model = self.attackable()
        groups = branch_parameters(model)
        parameters = [p for p in (*groups["shared"], *groups[ADV]) if p.requires_grad]
        start = self.attack.start(images.detach()).requires_grad_()
        scale = loss_scale(images)
        with use_branch(model, ADV), torch.enable_grad():
            loss = self.criterion(model(start), labels)
            gradients = torch.autograd.grad(loss * scale, [start, *parameters], allow_unused=True)
        if self.attack.check:
            check_finite(gradients[0].flatten(1).isfinite().all(1))
        adversarial = self.attack.step(start.detach(), images, gradients[0])
        pairs = [(p, g / scale) for p, g in zip(parameters, gradients[1:], strict=True) if g is not None]
        kept = torch.stack([(p * g).sum() for p, g in pairs]).sum()
        return adversarial, loss.detach(), kept - kept.detach()

    def _attacked(self, batch_size: int) -> int:
        count = round(self.share * batch_size)
        if not 0 < count < batch_size:
            raise ValueError(
                f"a share of {self.share} of a batch of {batch_size} is {count} images, "
                "and both parts need one or more; take a larger batch or another share"
            )
        return count

    def _scale_next_gradients(self, factors: Mapping[str, float]) -> None:
        """Makes the next backward pass, and no other, scale the gradients of each branch's own parameters."""
        for hook in self._hooks:
            hook.remove()
        groups = branch_parameters(self.trainable_module)
        owners = {p: factor for branch, factor in factors.items() for p in groups[branch]}
        self._hooks = [_scale_once(p, factor) for p, factor in owners.items() if p.requires_grad]


def _scale_once(parameter: nn.Parameter, factor: float) -> RemovableHandle:
    def scale(gradient: Tensor) -> Tensor:
        hook.remove()
        return gradient * factor

    hook: RemovableHandle = parameter.register_hook(scale)
    return hook


def shuffle_ranks(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Shuffles a batch over all ranks: each gets as many images back, every image is somewhere once.

    Batch statistics during the attack tell images of one batch about each other; mixing the batches
    keeps that from the training pass (Fast AdvProp, section 3.2.2).

    Args:
        images: `[B, C, H, W]`, as many on each rank.
        labels: Classes `[B]`, or weights of the classes `[B, classes]`.

    Returns:
        Images and labels of the same shapes.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        order = torch.randperm(len(images), device=images.device)
        return images[order], labels[order]
    all_images, all_labels = _gather(images), _gather(labels)
    order = torch.randperm(len(all_images), device=images.device)
    dist.broadcast(order, src=0)
    mine = order[dist.get_rank() :: dist.get_world_size()]
    return all_images[mine], all_labels[mine]


def _gather(tensor: Tensor) -> Tensor:
    mine = tensor.contiguous()  # in channels_last, what is gathered could be read in another order
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    return torch.cat(parts)


def _check_attack(attack: PGD) -> None:
    if attack.targeted is not None:
        raise ValueError(
            "Fast AdvProp keeps the gradients of the attack for training, so the attack must be untargeted; "
            f"got targeted={attack.targeted!r}, pass PGD(targeted=None, ...)"
        )
    if attack.steps != 1 or attack.mode != "train":
        raise ValueError(
            "Fast AdvProp attacks with one step in training behaviour, "
            f"got steps={attack.steps} and mode={attack.mode!r}; pass PGD(steps=1, mode='train', ...)"
        )
