"""The programs that the model pages show, for any of the models: what a reader copies, as text.

A collection has programs of its own in a folder of `snippets/` with its name, such as `snippets/digits/`; one
without shares those in `snippets/` itself.
"""

import re

from advprop.cards.model_index import load_model_index
from advprop.cards.timm_names import timm_name
from advprop.runtime import nearest, package_folder


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
        name: Name of its file without the ending; those that end in `_timm` do without this package.
        model: A model of the model index, by its old or its current name.

    Raises:
        ValueError: If there is no such snippet, or no card for the model; the message has the nearest name.

    Examples:
        >>> from advprop.cards import snippet
        >>> print(snippet("predict", "tf_efficientnet_b4_ap").splitlines()[0])
        import torch
    """
    folder = package_folder("snippet_files") / snippets_of(load_model_index().model(model).collection)
    names = sorted(path.stem for path in folder.glob("*.py"))
    if name not in names:
        raise ValueError(f"there is no snippet {name!r}; {nearest(name, names)}")
    import jinja2  # not for mistakes

    loader = jinja2.FileSystemLoader(folder)
    env = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    env.filters["timm_name"] = timm_name
    return env.get_template(f"{name}.py").render(model_name=model)
