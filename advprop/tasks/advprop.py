"""AdvProp: clean and adversarial images in one batch, each through its own batch norms."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from advprop.attacks import PGD, is_half
from advprop.norms import MAIN, add_aux_norm, branch_names, branch_parameters, forget_passes, use_branch
from advprop.tasks.gradient_reuse import GradientKeeper
from advprop.tasks.standard import Source, check_source

Batch: TypeAlias = tuple[Tensor, Tensor]


class AdvPropTask(GradientKeeper):
    """AdvProp (Xie et al., CVPR 2020, algorithm 1): clean and adversarial images, each through its own norms.

    The attack goes through the auxiliary norms; clean images take the main norms and adversarial ones
    the auxiliary norms, in one forward pass; the losses are added with equal weight.

    `separate_passes` keeps the inside of one pass at a time: the gradients of all branches but the last are
    computed in passes of their own, one after the other. Losses and gradients are the same but for rounding,
    and for what dropout and stochastic depth draw.

    With several sources this is fine-grained AdvProp: one auxiliary branch for each source of images.

    The auxiliary norms bring parameters: make the optimizer after the task, of `task.parameters()`.

    Args:
        model: Any model with batch norms; auxiliary norms are added in place where it has none.
        attack: An attack for the branch `"adv"` (`PGD(targeted="random")` by default), or a source of
            images for each named branch: an attack, or any function of (model, images, labels) to images,
            such as an augmentation.
        separate_passes: Whether each branch has a forward pass of its own, for want of memory.
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

    def __init__(
        self,
        model: nn.Module,
        attack: Source | Mapping[str, Source] | None = None,
        *,
        separate_passes: bool = False,
        **kwargs: Any,
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
        self.separate_passes = separate_passes

    def passes(self, count: int) -> list[dict[str, int]]:
        """The forward passes in training mode; see `StandardTask.passes`."""
        together = dict.fromkeys((MAIN, *self.sources), count)
        return [{branch: count} for branch in together] if self.separate_passes else [together]

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `StandardTask.forward`. Parts: `"loss_clean"` and `"loss_<branch>"`."""
        forget_passes(self.trainable_module)
        labels = self.unmixed(target)
        batches = {branch: (self.view(branch, input, target), labels) for branch in self.sources}
        batches = {MAIN: self.clean(input, target), **batches}
        losses, output = self._separately(batches) if self.separate_passes else self._together(batches)
        told = {f"loss_{'clean' if name == MAIN else name}": loss.detach() for name, loss in losses.items()}
        return {"loss": torch.stack(list(losses.values())).sum(), "output": output, **told}

    def _together(self, batches: Mapping[str, Batch]) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of all branches in one pass, and the logits of the clean images."""
        (sizes,) = self.passes(len(batches[MAIN][0]))
        with use_branch(self.trainable_module, sizes):
            pixels = torch.cat([images for images, _ in batches.values()])
            logits = self.pixels(self.trainable_module)(pixels).chunk(len(batches))
        losses = {
            branch: self.criterion(own, labels)
            for (branch, (_, labels)), own in zip(batches.items(), logits, strict=True)
        }
        return losses, logits[0]

    def _separately(self, batches: Mapping[str, Batch]) -> tuple[dict[str, Tensor], Tensor]:
        """The same in a pass for each branch, of which only the last has a graph when the next begins."""
        groups, losses, outputs = branch_parameters(self.trainable_module), {}, []
        *_, last = batches
        for branch, (images, labels) in batches.items():
            model = self.pixels(self.trainable_module) if branch == last else self.attackable()
            with use_branch(self.trainable_module, branch):
                outputs.append(model(images))
            losses[branch] = self.criterion(outputs[-1], labels)
            parameters = [p for p in (*groups["shared"], *groups[branch]) if p.requires_grad]
            if branch != last and parameters and torch.is_grad_enabled():
                _, kept = self.keep_gradients(losses[branch], parameters, half=is_half(images))
                losses[branch], outputs[-1] = losses[branch].detach() + kept, outputs[-1].detach()
        return losses, outputs[0]

    def view(self, branch: str, images: Tensor, labels: Tensor) -> Tensor:
        """The images of an auxiliary branch, made through that branch."""
        model = self.attackable()
        with use_branch(model, branch):
            return self.sources[branch](model, images, labels)
