"""timm's current names of the models with a card: from a record, so that nobody waits for timm."""

from functools import cache

import yaml

from advprop.runtime import package_folder


@cache
def recorded_names() -> dict[str, str]:
    """Timm's current name of each model that the record has, by the name on its card."""
    text = (package_folder("data_files") / "timm_names.yaml").read_text(encoding="utf-8")
    names: dict[str, str] = yaml.safe_load(text)
    return names


def timm_name(name: str) -> str:
    """Timm's current name of a model; timm itself is asked only where the record does not have it.

    Args:
        name: Name of a model, old or current.

    Raises:
        ValueError: If timm has no such model.

    Examples:
        >>> from advprop.cards import timm_name
        >>> timm_name("tf_efficientnet_b0_ap")
        'tf_efficientnet_b0.ap_in1k'
    """
    names = recorded_names()
    if name in names.values():
        return name
    if name in names:
        return names[name]
    from advprop.models import current_name

    return current_name(name)
