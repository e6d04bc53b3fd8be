"""Words of errors before the first step: options as on the command line, and what other libraries say."""

from advprop.recipes import Recipe

# What models raise for sizes and settings that they cannot do with, beside ValueError.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError)


def options(recipe: Recipe, *names: str) -> str:
    """Settings of a recipe as options of the command line.

    Examples:
        >>> from advprop.recipes import make_recipe
        >>> from advprop.training.refusals import options
        >>> options(make_recipe(batch_size=8, freeze=("conv1", "bn1")), "batch_size", "freeze")
        '--batch-size 8 --freeze conv1 bn1'
    """
    return " ".join(f"--{name.replace('_', '-')} {_word(getattr(recipe, name))}" for name in names)


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)
