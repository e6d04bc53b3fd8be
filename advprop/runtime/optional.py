"""Packages that not everyone needs: named, with the way to install them, where they are missing."""

from importlib.util import find_spec


class MissingExtraError(ImportError):
    """A package is not installed that what was asked for needs; the message says how to install it."""


def need_extra(extra: str, *packages: str) -> None:
    """Raises MissingExtraError unless all packages of an extra of this package are installed.

    Args:
        extra: Name of the extra, such as `onnx`.
        *packages: Names of its modules.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(f'{" and ".join(missing)} must be installed: pip install "advprop[{extra}]"')
