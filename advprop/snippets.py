"""The programs that the model pages show, for any of the models: what a reader copies, as text."""

from __future__ import annotations

from pathlib import Path

import jinja2

from advprop.cards import load_model_index
from advprop.models import current_name
from advprop.page import nearest


def snippet_names() -> tuple[str, ...]:
    """The snippets that there are; those that end in `_timm` do without this package.

    Examples:
        >>> from advprop.snippets import snippet_names
        >>> "predict" in snippet_names()
        True
    """
    return tuple(sorted(path.stem for path in _folder().glob("*.py")))


def snippet(name: str, model: str) -> str:
    """A complete program for a model, as the model's page shows it.

    Args:
        name: One of `snippet_names()`.
        model: A model of the model index, by its old or its current name.

    Raises:
        ValueError: If there is no such snippet, or no card for the model; the message has the nearest name.

    Examples:
        >>> from advprop.snippets import snippet
        >>> print(snippet("predict", "tf_efficientnet_b4_ap").splitlines()[0])
        import torch
    """
    if name not in snippet_names():
        raise ValueError(f"there is no snippet {name!r}; {nearest(name, snippet_names())}")
    loader = jinja2.FileSystemLoader(_folder())
    env = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    env.filters["timm_name"] = current_name
    return env.get_template(f"{name}.py").render(model_name=_known(model))


def _known(model: str) -> str:
    """The model under the name that was asked for, if it has a card."""
    cards = [card.name for card in load_model_index().models]
    if model not in (*cards, *map(current_name, cards)):
        raise ValueError(f"there is no card for the model {model!r}; {nearest(model, cards)}")
    return model


def _folder() -> Path:
    """The package's own copies when it is installed, else the checkout's."""
    package = Path(__file__).resolve().parent
    installed = package / "snippet_files"
    return installed if installed.is_dir() else package.parent / "snippets"
