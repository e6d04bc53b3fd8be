"""Names of models: timm's old and current ones."""

from collections.abc import Iterable
from fnmatch import fnmatch

import timm
from timm.models import get_arch_pretrained_cfgs, get_deprecated_models, is_model, parse_model_name

from advprop.runtime import nearest


def current_name(name: str) -> str:
    """The name that timm knows a model by today.

    Raises:
        ValueError: If timm has no such model or tag, or no longer has it.

    Examples:
        >>> from advprop.models import current_name
        >>> current_name("tf_efficientnet_b0_ap")
        'tf_efficientnet_b0.ap_in1k'
    """
    if parse_model_name(name)[0] is not None:  # hf-hub: and local-dir: are not in the registry
        return name
    renamed = get_deprecated_models()
    if name in renamed:
        if not renamed[name]:
            raise ValueError(f"timm no longer has the model {name!r}, and nothing in its place")
        return str(renamed[name])
    if is_model(name):  # the architecture is there; what of the tag?
        tagged = get_arch_pretrained_cfgs(name)
        if "." not in name or name in tagged:
            return name
        raise ValueError(f"there is no model {name!r}; of this architecture there are {', '.join(tagged)}")
    hint = nearest(name, [*timm.list_models(), *renamed], "advprop.list_models() has them all")
    raise ValueError(f"there is no model {name!r}; {hint}")


def list_models(
    filter: str | Iterable[str] | None = "",
    pretrained: bool = False,
    exclude_filters: str | Iterable[str] = "",
) -> list[str]:
    """Names of timm's models with their tags, and of this package's own, in natural order.

    Args:
        filter: A pattern such as `"*efficientnet*ap*"`, or several, of current names or of old ones; all by
            default.
        pretrained: Only those that have pretrained weights.
        exclude_filters: Patterns of models to leave out.

    Examples:
        >>> from advprop import list_models
        >>> list_models("tf_efficientnet_b0.ap*") == list_models("tf_efficientnet_b0_ap")
        True
    """
    found = _matching(filter) - (_matching(exclude_filters) if exclude_filters else set())
    return [name for name in timm.list_models(pretrained=pretrained, include_tags=True) if name in found]


def _matching(patterns: str | Iterable[str] | None) -> set[str]:
    """The current names that match one of the patterns, or whose old names do; all without a pattern."""
    listed = [patterns] if isinstance(patterns, str) else list(patterns or ())
    renamed = get_deprecated_models().items()
    found = {new for old, new in renamed if new and any(fnmatch(old, pattern) for pattern in listed)}
    return found.union(timm.list_models(listed if any(listed) else "", include_tags=True))
