"""Standard training as a task: a batch of clean images and labels to one loss, its parts and the logits.

Each task of this room is a `timm.task.TrainingTask`, so timm's loop, EMA, checkpoints, compilation and
distributed preparation work with it as with timm's own. Images are pixels in [0, 1]; the task
normalizes them (timm's loader does not, if it is made by `advprop.data.create_loader`).
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from timm.data.mixup import Mixup, mixup_target
from timm.task import ClassificationTask
from torch import Tensor, nn

from advprop.attacks import PerChannel, PixelModel, check_pixels, for_channels, without_ddp
from advprop.norms import MAIN, branch_names

# Makes the images of an auxiliary branch out of the clean ones: an attack, or an augmentation.
Source: TypeAlias = Callable[[nn.Module, Tensor, Tensor], Tensor]


class StandardTask(ClassificationTask):
    """Training on clean images alone: timm's `ClassificationTask` that takes pixels in [0, 1].

    What timm evaluates, `task.get_eval_model()`, takes pixels like the task itself; its state dict has the
    keys of the model inside.

    Args:
        model: A model of normalized images, without auxiliary norms.
        criterion: The loss of logits and labels; by default the one that `criterion_kwargs` describe.
        mean: Mean of each channel, averaged where the model has another number of channels; by default the
            model's own (`model.pretrained_cfg`), else 0.
        std: Standard deviation of each channel, likewise; else 1.
        mixup: timm's `Mixup` (mixup and CutMix), applied to the clean images only; adversarial images
            are made of the images as they came. The criterion then gets weights of the classes.
        **kwargs: What timm's `ClassificationTask` takes: `criterion_kwargs`, `device` (by default the
            model's).

    Raises:
        ValueError: If the model has auxiliary norms, which would never be trained, or mean and std do not
            fit together.

    Examples:
        >>> import timm, torch
        >>> from advprop import StandardTask
        >>> task = StandardTask(timm.create_model("test_resnet", num_classes=10))
        >>> parts = task(torch.rand(4, 3, 64, 64), torch.randint(10, (4,)))
        >>> parts["loss"].backward()
    """

    mean: Tensor
    std: Tensor
    trains_auxiliaries: ClassVar[bool] = False

    def __init__(
        self,
        model: nn.Module,
        criterion: Callable[..., Tensor] | None = None,
        *,
        mean: PerChannel | None = None,
        std: PerChannel | None = None,
        mixup: Mixup | None = None,
        **kwargs: Any,
    ) -> None:
        if not self.trains_auxiliaries and branch_names(model) != (MAIN,):
            raise ValueError(
                f"{type(self).__name__} trains one set of norms, the model has {branch_names(model)}; "
                "call remove_aux_norm(model) first, or use AdvPropTask"
            )
        device = next((p.device for p in model.parameters()), None)
        super().__init__(model, criterion, **{"verbose": False, "device": device} | kwargs)
        config = getattr(model, "pretrained_cfg", None) or {}
        channels = getattr(model, "in_chans", None)
        mean = for_channels(config.get("mean", 0.0) if mean is None else mean, channels)
        std = for_channels(config.get("std", 1.0) if std is None else std, channels)
        checked = PixelModel(model, mean, std)
        self.register_buffer("mean", checked.mean.to(self.device), persistent=False)
        self.register_buffer("std", checked.std.to(self.device), persistent=False)
        self._pixel_models: list[PixelModel] = []  # a list, so that they are no parts of the task
        self._looked = False
        self.mixup = mixup

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            input: Images `[B, C, H, W]`, pixels in [0, 1].
            target: Classes `[B]`, or weights of the classes `[B, classes]`.

        Returns:
            `"loss"` to minimise, `"output"` (the logits of the clean images `[B, classes]`), and the
            parts that the loss is made of, such as `"loss_clean"`, without gradients.

        Raises:
            ValueError: If the images do not have the channels of mean and std, cannot be mixed as `mixup` is
                to mix them, or are outside [0, 1] where an attack looks (`StandardTask`: in its first batch).
            FloatingPointError: If an attack that looks finds a gradient that is not finite.
        """
        if not self._looked:  # no attack looks here; once, since a GPU has to wait for it
            check_pixels(input)
            self._looked = True
        images, labels = self.clean(input, target)
        logits = self.pixels(self.trainable_module)(images)
        loss = self.criterion(logits, labels)
        return {"loss": loss, "output": logits, "loss_clean": loss.detach()}

    def passes(self, count: int) -> list[dict[str, int]]:
        """The forward passes in training mode that a batch takes: the number of images of each branch.

        Args:
            count: Number of images of the batch.

        Raises:
            ValueError: If so few cannot be trained on.

        Examples:
            >>> import timm
            >>> from advprop import AdvPropTask
            >>> AdvPropTask(timm.create_model("test_resnet", num_classes=10)).passes(8)
            [{'main': 8, 'adv': 8}]
        """
        return [{MAIN: count}]

    def pixels(self, model: nn.Module) -> PixelModel:
        """The model as a function of pixels in [0, 1]: one and the same for each module of the task.

        Of modules that are no part of the task, the last one is remembered.
        """
        found = next((known for known in self._pixel_models if known.model is model), None)
        if found is None:
            found, own = PixelModel(model, self.mean, self.std), set(self.modules())
            self._pixel_models = [*(known for known in self._pixel_models if known.model in own), found]
        if found.mean is not self.mean:  # the task has moved
            found.mean, found.std = self.mean, self.std
        found.training = model.training
        return found

    def attackable(self) -> PixelModel:
        """What an attack may run: the model without DDP, since an attack must not reduce gradients."""
        return self.pixels(without_ddp(self.trainable_module))

    def get_eval_model(self, module: nn.Module | None = None, ema: bool = False) -> nn.Module | None:
        """What timm validates: the model, or its average, as a function of pixels in [0, 1].

        Examples:
            >>> import timm, torch
            >>> from advprop import StandardTask, evaluate
            >>> task = StandardTask(timm.create_model("test_resnet", num_classes=10))
            >>> batches = [(torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 3]))]
            >>> evaluate(task.get_eval_model(), batches).n
            4
        """
        found = super().get_eval_model(module, ema)
        compiled = getattr(found, "_orig_mod", None)
        if found is None or isinstance(found, PixelModel) or isinstance(compiled, PixelModel):
            return found
        return self.pixels(without_ddp(found))

    def clean(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The clean part of a batch: mixed where the task has `mixup`, else as it came."""
        if self.mixup is None:
            return images, labels
        if len(images) % 2:
            raise ValueError(f"mixup pairs clean images, so their number must be even, got {len(images)}")
        if labels.ndim != 1:
            raise ValueError(f"mixup makes weights out of classes [B], got labels {tuple(labels.shape)}")
        mixed: tuple[Tensor, Tensor] = self.mixup(images.clone(), labels)
        return mixed

    def unmixed(self, labels: Tensor) -> Tensor:
        """Labels of images that are not mixed, in the form in which mixup gives those of the others."""
        if self.mixup is None or labels.ndim == 2:
            return labels
        smoothing = self.mixup.label_smoothing
        weights: Tensor = mixup_target(labels, self.mixup.num_classes, lam=1.0, smoothing=smoothing)
        return weights

    def prepare_distributed(
        self, device_ids: list[int] | None = None, **ddp_kwargs: Any
    ) -> ClassificationTask:
        """Wraps the model in DistributedDataParallel; device ids are for GPUs and dropped on a CPU."""
        on_cpu = self.device.type == "cpu"
        return super().prepare_distributed(device_ids=None if on_cpu else device_ids, **ddp_kwargs)


def check_source(source: object) -> None:
    """Raises ValueError if it is nothing that makes images: a class instead of an attack, or a loss."""
    if isinstance(source, type) or not callable(source) or _is_loss(source):
        raise ValueError(
            "images are made by an attack such as PGD(), or by a function of (model, images, labels), "
            f"got {source!r}; pass a loss as criterion=..."
        )


def _is_loss(function: Callable[..., object]) -> bool:
    """Whether it cannot be called with a model, images and labels, or reduces what it returns."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        signature = inspect.signature(called)
        signature.bind("model", "images", "labels")
    except TypeError:
        return True
    except ValueError:  # some functions in C do not tell
        return False
    return "reduction" in signature.parameters
