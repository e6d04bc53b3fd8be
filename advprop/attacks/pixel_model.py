"""What is attacked: a model of pixels in [0, 1]."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from advprop.attacks.ball import PerChannel


class PixelModel(nn.Module):
    """A model that takes pixels in [0, 1]: it normalizes them, then calls the model inside.

    Its state dict is that of the model inside, with the same keys.

    Args:
        model: A model of normalized images.
        mean: Mean of each channel, or one for all.
        std: Standard deviation of each channel, or one for all; over 0.

    Raises:
        ValueError: If mean and std have different numbers of channels, or a std is not over 0; when it is
            called, if the images have other channels.

    Examples:
        >>> import timm, torch
        >>> from advprop import PixelModel
        >>> pixels = PixelModel(timm.create_model("test_resnet"), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> pixels(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 1000])
    """

    mean: Tensor
    std: Tensor

    __jit_unused_properties__: ClassVar[Sequence[str]] = ("module", "_orig_mod")

    def __init__(self, model: nn.Module, mean: PerChannel | Tensor, std: PerChannel | Tensor) -> None:
        super().__init__()
        self.model = model
        self.training: bool = model.training
        means, stds = _channels(mean), _channels(std)
        # Tensors were checked when they were made; looking into them would make a GPU wait.
        over_zero = isinstance(std, Tensor) or bool((stds > 0).all())
        if not over_zero or means.shape != stds.shape:
            raise ValueError(
                f"mean and std must have a value for each channel, std over 0, got {mean} and {std}"
            )
        device = next((p.device for p in model.parameters()), None)
        self.register_buffer("mean", means.to(device), persistent=False)
        self.register_buffer("std", stds.to(device), persistent=False)
        nn.Module.register_state_dict_post_hook(self, _without_prefix)
        nn.Module.register_load_state_dict_pre_hook(self, _with_prefix)

    @property
    def module(self) -> nn.Module:
        """The model inside, under the name by which timm's `unwrap_model` finds what to save."""
        return self.model

    @property
    def _orig_mod(self) -> Any:
        """What the model inside was before it was compiled; as there, no attribute if it is not compiled."""
        return self.model._orig_mod

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, classes]` of pixels `[B, C, H, W]` in [0, 1]."""
        if self.mean.shape[1] not in (1, images.shape[1]):
            raise ValueError(
                f"images have {images.shape[1]} channels, mean and std have {self.mean.shape[1]}; "
                "pass a mean and a std for these images"
            )
        logits: Tensor = self.model((images - self.mean.to(images.dtype)) / self.std.to(images.dtype))
        return logits


def without_ddp(model: nn.Module) -> nn.Module:
    """The model that DistributedDataParallel holds, also inside a `PixelModel`; others as they are."""
    if isinstance(model, DistributedDataParallel):
        inside: nn.Module = model.module
        return inside
    if isinstance(model, PixelModel) and isinstance(model.model, DistributedDataParallel):
        return PixelModel(model.model.module, model.mean, model.std)
    return model


def _without_prefix(module: nn.Module, state: dict[str, Any], prefix: str, _: Mapping[str, Any]) -> None:
    """Gives the tensors of the model inside the names that they have there."""
    _rename(state, f"{prefix}model.", prefix)


def _with_prefix(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Takes names as the model inside has them back to those of the `PixelModel`."""
    _rename(state, prefix, f"{prefix}model.")


def _rename(state: dict[str, Any], old: str, new: str) -> None:
    for key in [key for key in state if key.startswith(old)]:
        state[new + key.removeprefix(old)] = state.pop(key)


def _channels(values: PerChannel | Tensor) -> Tensor:
    if isinstance(values, Tensor) and values.ndim == 4:  # of another such model: the very same buffer
        return values.float()
    if not isinstance(values, Tensor):
        values = torch.tensor((values,) if isinstance(values, float | int) else tuple(values))
    return values.float().view(1, -1, 1, 1)
