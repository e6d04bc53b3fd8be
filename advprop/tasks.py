"""AdvProp as a training task: a batch of images and labels to one loss, its parts and the logits.

Each task is a `timm.task.TrainingTask`, so timm's loop, EMA, checkpoints, compilation and
distributed preparation work with it as with timm's own. Images are pixels in [0, 1]; the task
normalises them (`timm.data.create_loader(mean=(0, 0, 0), std=(1, 1, 1))` leaves that to it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from timm.task import ClassificationTask
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from advprop.attack import PGD
from advprop.ball import PerChannel
from advprop.behaviour import PixelModel
from advprop.branch import use_branch
from advprop.norm import MAIN, add_aux_norm, branch_names

# Makes the images of an auxiliary branch out of the clean ones: an attack, or an augmentation.
Source: TypeAlias = Callable[[nn.Module, Tensor, Tensor], Tensor]


class StandardTask(ClassificationTask):
    """Training on clean images alone: timm's `ClassificationTask` that takes pixels in [0, 1].

    Args:
        model: A model of normalised images.
        mean: Mean of each channel; by default the model's own (`model.pretrained_cfg`), else 0.
        std: Standard deviation of each channel, likewise; else 1.
        **kwargs: What timm's `ClassificationTask` takes: `criterion`, `criterion_kwargs`, `device`.

    Examples:
        >>> import timm, torch
        >>> from advprop import StandardTask
        >>> task = StandardTask(timm.create_model("test_resnet", num_classes=10))
        >>> parts = task(torch.rand(4, 3, 64, 64), torch.randint(10, (4,)))
        >>> parts["loss"].backward()
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        mean: PerChannel | None = None,
        std: PerChannel | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, **{"verbose": False} | kwargs)
        config = getattr(model, "pretrained_cfg", None) or {}
        mean = config.get("mean", 0.0) if mean is None else mean
        std = config.get("std", 1.0) if std is None else std
        checked = PixelModel(model, mean, std)
        self.register_buffer("mean", checked.mean.to(self.device), persistent=False)
        self.register_buffer("std", checked.std.to(self.device), persistent=False)

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            input: Images `[B, C, H, W]`, pixels in [0, 1].
            target: Classes `[B]`, or weights of the classes `[B, classes]`.

        Returns:
            `"loss"` to minimise, `"output"` (the logits of the clean images `[B, classes]`), and the
            parts that the loss is the sum of, such as `"loss_clean"`.
        """
        logits = self.pixels(self.trainable_module)(input)
        loss = self.criterion(logits, target)
        return {"loss": loss, "output": logits, "loss_clean": loss.detach()}

    def pixels(self, model: nn.Module) -> PixelModel:
        """The model as a function of pixels in [0, 1]."""
        return PixelModel(model, self.mean, self.std)

    def attackable(self) -> PixelModel:
        """What an attack may run: the model without DDP, whose gradients must not be reduced by an attack."""
        model = self.trainable_module
        return self.pixels(model.module if isinstance(model, DistributedDataParallel) else model)

    def prepare_distributed(
        self, device_ids: list[int] | None = None, **ddp_kwargs: Any
    ) -> ClassificationTask:
        """Wraps the model in DistributedDataParallel; device ids are for GPUs and dropped on a CPU."""
        on_cpu = self.device.type == "cpu"
        return super().prepare_distributed(device_ids=None if on_cpu else device_ids, **ddp_kwargs)


class AdvPropTask(StandardTask):
    """AdvProp (Xie et al., CVPR 2020, algorithm 1): clean and adversarial images, each through its own norms.

    The attack goes through the auxiliary norms; clean images take the main norms and adversarial ones
    the auxiliary norms in one forward pass; the losses are added with equal weight.

    With several sources this is fine-grained AdvProp (section 4.3): one auxiliary branch for each.

    Args:
        model: Any model with batch norms; auxiliary norms are added in place where it has none.
        attack: An attack for the branch `"adv"` (`PGD()` by default), or a source of images for each
            named branch: an attack, or any function of (model, images, labels) to images, such as an
            augmentation.
        mean: Mean of each channel; by default the model's own (`model.pretrained_cfg`), else 0.
        std: Standard deviation of each channel, likewise; else 1.
        **kwargs: What timm's `ClassificationTask` takes: `criterion`, `criterion_kwargs`, `device`.

    Raises:
        ValueError: If the model's branches are not those of the sources.

    Examples:
        >>> import timm, torch
        >>> from advprop import PGD, AdvPropTask
        >>> task = AdvPropTask(timm.create_model("test_resnet", num_classes=10), PGD(steps=1))
        >>> parts = task(torch.rand(4, 3, 64, 64), torch.randint(10, (4,)))
        >>> parts["loss"].backward()
        >>> sorted(parts)
        ['loss', 'loss_adv', 'loss_clean', 'output']
    """

    def __init__(
        self, model: nn.Module, attack: Source | Mapping[str, Source] | None = None, **kwargs: Any
    ) -> None:
        sources = dict(attack) if isinstance(attack, Mapping) else {"adv": attack or PGD()}
        if branch_names(model) == (MAIN,):
            add_aux_norm(model, tuple(sources))
        missing = set(sources) - set(branch_names(model))
        if missing or not sources:
            raise ValueError(
                f"the model has the branches {branch_names(model)}, the sources are {tuple(sources)}"
            )
        super().__init__(model, **kwargs)
        self.sources = sources

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch; see `StandardTask.forward`. Parts: `"loss_clean"` and `"loss_<branch>"`."""
        views = [input, *(self.view(branch, input, target) for branch in self.sources)]
        names = (MAIN, *self.sources)
        with use_branch(self.trainable_module, dict.fromkeys(names, len(input))):
            logits = self.pixels(self.trainable_module)(torch.cat(views)).chunk(len(views))
        losses = [self.criterion(part, target) for part in logits]
        parts = {
            f"loss_{name}": loss.detach() for name, loss in zip(("clean", *names[1:]), losses, strict=True)
        }
        return {"loss": torch.stack(losses).sum(), "output": logits[0], **parts}

    def view(self, branch: str, images: Tensor, labels: Tensor) -> Tensor:
        """The images of an auxiliary branch, made through that branch."""
        model = self.attackable()
        with use_branch(model, branch):
            return self.sources[branch](model, images, labels)
