"""The programs that the model pages show, for any of the models: what a reader copies, as text.

A collection has programs of its own in a folder of `snippets/` with its name, such as `snippets/digits/`; one
without shares those in `snippets/` itself.
"""

import re
from pathlib import Path

from advprop.cards.model_index import load_model_index, timm_name
from advprop.runtime import nearest, package_folder


def snippet_names(model: str) -> tuple[str, ...]:
    """The snippets that there are for a model; those that end in `_timm` do without this package.

    Raises:
        ValueError: If there is no card for the model; the message has the nearest name.
    """
    return tuple(sorted(path.stem for path in _folder(model).glob("*.py")))


def _folder(model: str) -> Path:
    return package_folder("snippet_files") / snippets_of(load_model_index().model(model).collection)


def snippets_of(collection: str) -> str:
    """The folder in `snippets/` with the programs of a collection; empty for `snippets/` itself.

    Examples:
        >>> from advprop.cards.snippets import snippets_of
        >>> snippets_of("AdvProp")
        ''
    """
    name = re.sub(r"\W+", "_", collection.lower())
    return name if (package_folder("snippet_files") / name).is_dir() else ""


def snippet(name: str, model: str) -> str:
    """A complete program for a model, as the model's page shows it.

    Args:
        name: One of `snippet_names(model)`.
        model: A model of the model index, by its old or its current name.

    Raises:
        ValueError: If there is no such snippet, or no card for the model; the message has the nearest name.

    Examples:
        >>> from advprop.cards import snippet
        >>> print(snippet("predict", "tf_efficientnet_b4_ap").splitlines()[0])
        import torch
    """
    if name not in snippet_names(model):
        raise ValueError(f"there is no snippet {name!r}; {nearest(name, snippet_names(model))}")
    import jinja2  # not for mistakes

    loader = jinja2.FileSystemLoader(_folder(model))
    env = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    env.filters["timm_name"] = timm_name
    return env.get_template(f"{name}.py").render(model_name=model)
