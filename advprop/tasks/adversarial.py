"""Adversarial training with one set of norms: the control that AdvProp is compared with."""

from typing import Any

import torch
from torch import Tensor, nn

from advprop.attacks import PGD
from advprop.norms import MAIN
from advprop.tasks.standard import Source, StandardTask, check_source


class AdversarialTask(StandardTask):
    """Adversarial training with one set of norms: the control that AdvProp is compared with.

    Clean and adversarial images go through the same norms, in one forward pass; the losses are added
    with equal weight, as in `AdvPropTask`, so that the auxiliary norms are the only difference.

    Args:
        model: Any model without auxiliary norms.
        attack: Makes the adversarial images; `PGD(targeted="random")` by default.
        **kwargs: What `StandardTask` takes: `mean`, `std`, `mixup`, `criterion`, `device` ...

    Raises:
        ValueError: If the model has auxiliary norms, which would never be trained.

    Examples:
        >>> import timm, torch
        >>> from advprop import PGD, AdversarialTask
        >>> model = timm.create_model("test_resnet", num_classes=10)
        >>> task = AdversarialTask(model, PGD(steps=1, targeted="random"))
        >>> parts = task(torch.rand(4, 3, 64, 64), torch.randint(10, (4,)))
        >>> parts["loss"].backward()
    """

    def __init__(self, model: nn.Module, attack: Source | None = None, **kwargs: Any) -> None:
        check_source(attack := attack or PGD(targeted="random"))
        super().__init__(model, **kwargs)
        self.attack = attack

    def passes(self, count: int) -> list[dict[str, int]]:
        """The forward passes in training mode; see `StandardTask.passes`."""
        return [{MAIN: 2 * count}]

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `StandardTask.forward`. Parts: `"loss_clean"` and `"loss_adv"`."""
        adversarial = self.attack(self.attackable(), input, target)
        images, labels = self.clean(input, target)
        logits = self.pixels(self.trainable_module)(torch.cat([images, adversarial])).chunk(2)
        loss_clean = self.criterion(logits[0], labels)
        loss_adv = self.criterion(logits[1], self.unmixed(target))
        parts = {"loss_clean": loss_clean.detach(), "loss_adv": loss_adv.detach()}
        return {"loss": loss_clean + loss_adv, "output": logits[0], **parts}
