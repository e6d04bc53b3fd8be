"""Fast AdvProp (Mei et al., ICLR 2022): AdvProp at about the price of standard training.

Its three ideas have a file each: `gradient_reuse.py`, `shuffle.py` and `rebalance.py`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from advprop.attacks import PGD, check_classes, check_finite, check_pixels, finite_images, is_half
from advprop.norms import MAIN, add_aux_norm, branch_names, branch_parameters, forget_passes, use_branch
from advprop.tasks.gradient_reuse import GradientKeeper
from advprop.tasks.rebalance import Rebalancing
from advprop.tasks.shuffle import shuffle_ranks

ADV = "adv"


class FastAdvPropTask(GradientKeeper):
    """Fast AdvProp (Mei et al., ICLR 2022, section 3).

    A share of each batch is attacked, with one step, and trained on as adversarial images only; the
    rest is trained on as clean images only. The backward pass of the attack gives the gradients of
    the parameters too, and they are kept: every parameter moves along

        g_clean + 0.5 g_noise + 0.5 g_adv,

    averaged over the images that went through it, so that shared, main and auxiliary parameters move
    at the same speed. The adversarial images are shuffled, across all ranks, before they are trained on.

    The auxiliary norms bring parameters: make the optimizer after the task, of `task.parameters()`.

    Args:
        model: Any model with batch norms; the branch `"adv"` is added in place where it has none.
        attack: One untargeted step in training mode (batch statistics).
        share: The share p of the images that is attacked, in (0, 1); the paper takes 0.2.
        **kwargs: What `StandardTask` takes: `mean`, `std`, `mixup`, `criterion`, `device` ... The
            criterion must average over images.

    Raises:
        ValueError: If the attack is targeted, has not one step, or runs in evaluation mode, or
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

    def __init__(
        self, model: nn.Module, attack: PGD | None = None, *, share: float = 0.2, **kwargs: Any
    ) -> None:
        attack = attack or PGD(eps=1 / 255, step_size=1 / 255, steps=1, mode="train")
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
        self.rebalancing: Rebalancing = Rebalancing()

    def passes(self, count: int) -> list[dict[str, int]]:
        """The forward passes in training mode; see `StandardTask.passes`."""
        attacked = round(self.share * count)
        if not 0 < attacked < count:
            raise ValueError(
                f"a share of {self.share} of a batch of {count} is {attacked} images, "
                "and both parts need one or more; take a larger batch or another share"
            )
        return [{ADV: attacked}, {MAIN: count - attacked, ADV: attacked}]

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `StandardTask.forward`.

        Parts: `"loss_clean"`, `"loss_noise"` (of the images at the start of the attack) and
        `"loss_adv"`. The gradient of `"loss"` holds that of the noise pass as well.
        """
        forget_passes(self.trainable_module)
        parts = self.passes(len(input))[-1]
        n_clean, n_adv = parts[MAIN], parts[ADV]
        adv_labels = self.unmixed(target[n_clean:])
        adversarial, loss_noise, kept = self.attack_and_keep(input[n_clean:], adv_labels)
        adversarial, adv_labels = shuffle_ranks(adversarial, adv_labels)
        images, labels = self.clean(input[:n_clean], target[:n_clean])
        with use_branch(self.trainable_module, parts):
            logits = self.pixels(self.trainable_module)(torch.cat([images, adversarial]))
        loss_clean = self.criterion(logits[:n_clean], labels)
        loss_adv = self.criterion(logits[n_clean:], adv_labels)
        clean_share, adv_share = n_clean / len(input), n_adv / len(input)
        if torch.is_grad_enabled():
            groups = branch_parameters(self.trainable_module)
            self.rebalancing.scale_next_gradients(groups, {MAIN: 1 / clean_share, ADV: 1 / adv_share})
        return {
            "loss": clean_share * loss_clean + adv_share * 0.5 * (loss_noise + loss_adv + kept),
            "output": logits[:n_clean],
            "loss_clean": loss_clean.detach(),
            "loss_noise": loss_noise,
            "loss_adv": loss_adv.detach(),
        }

    def attack_and_keep(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the attack, and what else its backward pass is good for.

        Args:
            images: Pixels `[B, C, H, W]` in [0, 1].
            labels: Classes `[B]`, or weights of the classes `[B, classes]`.

        Returns:
            The adversarial images, the loss of the images at the start of the attack, and a term of value 0
            whose gradient is that of this loss with respect to the parameters.
        """
        if self.attack.check:
            check_pixels(images)
        groups = branch_parameters(self.trainable_module)
        parameters = [p for p in (*groups["shared"], *groups[ADV]) if p.requires_grad]
        start, half = self.attack.start(images.detach()).requires_grad_(), is_half(images)
        with use_branch(self.trainable_module, ADV), torch.enable_grad():
            logits = self.attackable()(start)
            if self.attack.check:
                check_classes(labels, logits.shape[1])
            loss = self.criterion(logits, labels)
            (ascent,), kept = self.keep_gradients(loss, parameters, start, half=half)
        if half:
            ascent = ascent.nan_to_num(0, 0, 0)
        elif self.attack.check:
            check_finite(finite_images(ascent))
        return self.attack.step(start.detach(), images, ascent), loss.detach(), kept


def _check_attack(attack: PGD) -> None:
    if not isinstance(attack, PGD):
        raise ValueError(
            f"Fast AdvProp takes an attack such as PGD(steps=1, ...), got {attack!r}; "
            "pass a loss as criterion=..."
        )
    if attack.targeted is not None:
        raise ValueError(
            "Fast AdvProp keeps the gradients of the attack for training, so the attack must be untargeted; "
            f"got targeted={attack.targeted!r}, pass PGD(targeted=None, ...)"
        )
    if attack.steps != 1 or attack.mode != "train":
        raise ValueError(
            "Fast AdvProp attacks with one step in training mode, "
            f"got steps={attack.steps} and mode={attack.mode!r}; pass PGD(steps=1, mode='train', ...)"
        )
