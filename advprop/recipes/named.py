"""Recipes that come with the package, by name."""

from pathlib import Path

from advprop.runtime import nearest, package_folder


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that come with the package.

    Examples:
        >>> from advprop.recipes import recipe_names
        >>> recipe_names()
        ('convnext-t', 'resnet50', 'resnet50-fast', 'resnet50-pgd1', 'resnet50-pgd5', 'vit-s')
    """
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def recipe_path(source: Path | str) -> Path:
    """The file of a recipe: the one that is there, or the one of the package that has this name.

    Raises:
        ValueError: If it has no ending and is neither; the message has the nearest names.
    """
    path = Path(source)
    if path.exists() or path.suffix or path.name != str(source):
        return path
    if str(source) not in recipe_names():
        raise ValueError(f"there is no recipe {str(source)!r}; {nearest(str(source), recipe_names())}")
    return _folder() / f"{source}.yaml"


def _folder() -> Path:
    return package_folder("data_files") / "recipes"
