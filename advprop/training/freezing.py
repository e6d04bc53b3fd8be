"""Parts of a model that are not trained."""

from timm.utils.model import freeze
from torch import nn


def freeze_parts(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Keeps parts of a model, its modules, as they are: parameters, and the statistics of their batch norms.

    Raises:
        ValueError: If there is no such part, or nothing is left to train.
    """
    known = [name for name, _ in model.named_modules() if name]
    for part in parts:
        if part not in known:
            top = [name for name, _ in model.named_children()]
            raise ValueError(
                f"the model has no part {part!r} to freeze; its parts are {', '.join(top)} (--freeze)"
            )
    freeze(model, list(parts))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            f"some part of the model must be trained, got --freeze {' '.join(parts)}; leave out a part of it"
        )
