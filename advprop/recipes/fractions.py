"""Numbers of settings that may be written as fractions: `4/255`."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias


def parse_fraction(value: Any) -> Any:
    """A number that may be written as a fraction: `4/255`."""
    if not isinstance(value, str) or "/" not in value:
        return value
    above, _, below = value.partition("/")
    try:
        return float(above) / float(below)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number such as 0.1 or 4/255, got {value!r}") from None


def short_number(value: float) -> str:
    """A number as a reader would write it: `4/255` where it is no short decimal.

    Examples:
        >>> from advprop.recipes import short_number
        >>> short_number(4 / 255), short_number(0.15)
        ('4/255', '0.15')
    """
    levels = round(255 * value)
    return f"{levels}/255" if len(repr(value)) > 8 and value == levels / 255 else f"{value:g}"


def written(value: Any) -> str:
    """The value of a setting as the command line has it: `none`, `4/255`, `0.5 1`."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(written, value))
    return short_number(value) if isinstance(value, float) else str(value)


class _Fraction:
    """Lets pydantic read fractions; pydantic itself is not imported for the settings alone."""

    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import no_info_before_validator_function

        return no_info_before_validator_function(parse_fraction, handler(source))


Pixels: TypeAlias = Annotated[float, _Fraction]
