"""AdvProp: clean and adversarial images in one batch, each through its own batch norms."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from advprop.attacks import PGD
from advprop.norms import MAIN, add_aux_norm, branch_names, forget_passes, use_branch
from advprop.tasks.standard import Source, StandardTask, check_source


class AdvPropTask(StandardTask):
    """AdvProp (Xie et al., CVPR 2020, algorithm 1): clean and adversarial images, each through its own norms.

    The attack goes through the auxiliary norms; clean images take the main norms and adversarial ones
    the auxiliary norms, in one forward pass; the losses are added with equal weight.

    With several sources this is fine-grained AdvProp: one auxiliary branch for each source of images.

    The auxiliary norms bring parameters: make the optimizer after the task, of `task.parameters()`.

    Args:
        model: Any model with batch norms; auxiliary norms are added in place where it has none.
        attack: An attack for the branch `"adv"` (`PGD(targeted="random")` by default), or a source of
            images for each named branch: an attack, or any function of (model, images, labels) to images,
            such as an augmentation.
        **kwargs: What `StandardTask` takes: `mean`, `std`, `mixup`, `criterion`, `device` ...

    Raises:
        ValueError: If the model's auxiliary branches are not those of the sources, it has no batch norms
            (call `add_aux_norm(model, norms="all")` first), or is in DistributedDataParallel already.

    Examples:
        >>> import timm, torch
        >>> from advprop import PGD, AdvPropTask
        >>> model = timm.create_model("test_resnet", num_classes=10)
        >>> task = AdvPropTask(model, PGD(steps=1, targeted="random"))
        >>> parts = task(torch.rand(4, 3, 64, 64), torch.randint(10, (4,)))
        >>> parts["loss"].backward()
        >>> sorted(parts)
        ['loss', 'loss_adv', 'loss_clean', 'output']
    """

    trains_auxiliaries = True

    def __init__(
        self, model: nn.Module, attack: Source | Mapping[str, Source] | None = None, **kwargs: Any
    ) -> None:
        sources = dict(attack) if isinstance(attack, Mapping) else {"adv": attack or PGD(targeted="random")}
        for source in sources.values():
            check_source(source)
        if branch_names(model) == (MAIN,):
            add_aux_norm(model, tuple(sources))
        if set(branch_names(model)) != {MAIN, *sources}:
            raise ValueError(
                f"every auxiliary branch needs a source of images and every source a branch: "
                f"the model has {branch_names(model)}, the sources are {tuple(sources)}"
            )
        super().__init__(model, **kwargs)
        self.sources = sources

    def passes(self, count: int) -> list[dict[str, int]]:
        """The forward passes in training mode; see `StandardTask.passes`."""
        return [dict.fromkeys((MAIN, *self.sources), count)]

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `StandardTask.forward`. Parts: `"loss_clean"` and `"loss_<branch>"`."""
        forget_passes(self.trainable_module)
        views = {branch: self.view(branch, input, target) for branch in self.sources}
        images, labels = self.clean(input, target)
        (parts,) = self.passes(len(input))
        with use_branch(self.trainable_module, parts):
            batch = torch.cat([images, *views.values()])
            logits = self.pixels(self.trainable_module)(batch).chunk(1 + len(views))
        aux_labels = self.unmixed(target)
        losses = [self.criterion(logits[0], labels), *(self.criterion(x, aux_labels) for x in logits[1:])]
        names = ("loss_clean", *(f"loss_{branch}" for branch in views))
        told = {name: loss.detach() for name, loss in zip(names, losses, strict=True)}
        return {"loss": torch.stack(losses).sum(), "output": logits[0], **told}

    def view(self, branch: str, images: Tensor, labels: Tensor) -> Tensor:
        """The images of an auxiliary branch, made through that branch."""
        model = self.attackable()
        with use_branch(model, branch):
            return self.sources[branch](model, images, labels)
