"""A ConvNet of some 30,000 parameters for images from 8 x 8 pixels, registered with timm's models.

`advprop_convnet` has no weights. `advprop_digits` is the same network with the weights that come with this
package: trained on scikit-learn's digits with AdvProp, and without it by the same recipe
(`data_files/advprop_digits.yaml`; `scripts/make_digits_weights.py` makes them anew).
"""

from collections import OrderedDict
from typing import Any

import torch.nn.functional as F
from timm.models import DefaultCfg, build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from advprop.runtime import package_folder

__all__ = ["ConvNet"]

_CONFIG = {
    "input_size": (1, 8, 8),
    "min_input_size": (1, 8, 8),
    "num_classes": 10,
    "mean": (0.0,),
    "std": (1.0,),
    "crop_pct": 1.0,
    "first_conv": "stages.0.conv",
    "classifier": "head",
}


def _trained(name: str, description: str) -> dict[str, Any]:
    """The configuration of weights that come with the package."""
    return _CONFIG | {
        "file": str(package_folder("data_files") / f"{name}.safetensors"),
        "mean": (0.5,),  # as for the EfficientNets that were trained with AdvProp
        "std": (0.5,),
        "label_names": tuple("0123456789"),
        "description": description,
        "paper_ids": "arXiv:1911.09665",
        "license": "apache-2.0",
    }


default_cfgs: dict[str, DefaultCfg] = generate_default_cfgs(
    {
        "advprop_convnet": _CONFIG,
        "advprop_digits.advprop": _trained("advprop_digits.advprop", "Handwritten digits, with AdvProp"),
        "advprop_digits.standard": _trained(
            "advprop_digits.standard", "Handwritten digits, clean images only"
        ),
    }
)


class ConvNet(nn.Module):
    """Three stages of convolution, batch norm and ReLU; each halves the image but the first.

    `forward` takes normalized images `[B, in_chans, H, W]` and gives logits `[B, num_classes]`.

    Args:
        num_classes: Number of classes; 0 gives the features in place of logits.
        in_chans: Number of channels of an image.
        global_pool: How the last feature map becomes a vector; only `"avg"`.
        drop_rate: Share of the features that dropout sets to 0 in training.
    """

    def __init__(
        self, num_classes: int = 10, in_chans: int = 1, global_pool: str = "avg", drop_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.num_features = self.head_hidden_size = 64
        self.stages: nn.Sequential = nn.Sequential(
            _stage(in_chans, 20, stride=1), _stage(20, 40, stride=2), _stage(40, 64, stride=2)
        )
        self.reset_classifier(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map `[B, num_features, H / 4, W / 4]`."""
        features: Tensor = self.stages(x)
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Feature map to logits `[B, num_classes]`, or to features `[B, num_features]`."""
        x = F.dropout(x.mean((2, 3)), self.drop_rate, self.training)
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        """Normalized images `[B, in_chans, H, W]` to logits `[B, num_classes]`."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Puts a new last layer for `num_classes` in the place of the present one."""
        if global_pool not in ("avg", None):
            raise ValueError(f"global_pool of this model is always 'avg', got {global_pool!r}")
        self.num_classes = num_classes
        self.head: nn.Module = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Which parameters belong together, for learning rates that decay by layer."""
        return {"stem": r"^stages\.0", "blocks": r"^stages\.(\d+)"}


def _stage(in_chans: int, width: int, stride: int) -> nn.Sequential:
    layers = {
        "conv": nn.Conv2d(in_chans, width, 3, stride, padding=1, bias=False),
        "bn": nn.BatchNorm2d(width),
        "act": nn.ReLU(inplace=True),
    }
    return nn.Sequential(OrderedDict(layers))


@register_model
def advprop_convnet(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """The small ConvNet of the digits; see `ConvNet`."""
    model: ConvNet = build_model_with_cfg(ConvNet, "advprop_convnet", pretrained, **kwargs)
    return model


@register_model
def advprop_digits(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """The small ConvNet, trained on scikit-learn's digits; see `ConvNet`."""
    model: ConvNet = build_model_with_cfg(ConvNet, "advprop_digits", pretrained, **kwargs)
    return model
