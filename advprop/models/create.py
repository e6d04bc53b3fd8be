"""Models by name: timm's own, by their old and their current names, and the networks of this package."""

from collections.abc import Mapping
from typing import Any

import timm
import torch
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError
from timm.models import parse_model_name
from torch import nn

from advprop.models.names import current_name
from advprop.models.weights import FILE_ERRORS, brief

# Whatever HTTP library the hub's client uses, its errors are among these.
_DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A timm model, by its current or its old name.

    `tf_efficientnet_b0_ap` is `tf_efficientnet_b0.ap_in1k` now; both work, without a warning. Everything
    else goes to `timm.create_model`: tags, `hf-hub:` and `local-dir:` names, all keyword arguments.

    Args:
        name: Name of a model, old or current.
        pretrained: Whether to load the weights that the name stands for, from timm's model hub.
        **kwargs: What `timm.create_model` takes, such as `num_classes` and `in_chans`.

    Raises:
        ValueError: If there is no such model or tag (the message has the nearest names), or it has no
            pretrained weights.
        OSError: If the weights could not be downloaded, or their file is damaged or of another model.

    Examples:
        >>> from advprop import create_model
        >>> model = create_model("tf_efficientnet_b0_ap", num_classes=10)
        >>> model.pretrained_cfg["mean"]
        (0.5, 0.5, 0.5)
    """
    name = current_name(name)
    configured = parse_model_name(name)[0] is not None  # hf-hub: and local-dir: bring a file of settings
    own_weights = configured or "pretrained_cfg_overlay" in kwargs or kwargs.get("pretrained_cfg")
    if pretrained and not own_weights and not timm.is_model_pretrained(name):
        known = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}.*")) or "none"
        raise ValueError(f"{name} has no pretrained weights; of this architecture these have: {known}")
    try:
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    except FILE_ERRORS as error:
        if not configured and not (pretrained and _can_be_made(name, kwargs)):
            raise  # it is not about what was read
        raise OSError(
            f"the weights of {name} are damaged or of another model ({brief(error)}); if they come from the "
            f"hub, delete the file from its cache ({HF_HUB_CACHE}) and load again"
        ) from error
    except _DOWNLOAD_ERRORS as error:
        reason = brief(error.__cause__ or error)
        raise OSError(f"the weights of {name} could not be loaded: {reason}") from error


def _can_be_made(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether the model can be made without its weights."""
    try:
        with torch.device("meta"):
            timm.create_model(name, **settings)
    except FILE_ERRORS:
        return False
    return True
