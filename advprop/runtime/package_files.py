"""Where the files that come with the package are: in a checkout and where it is installed."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parents[1]
# What the wheel copies into the package stands in the site's folders of a checkout.
_IN_CHECKOUT = {"pages": "docs/models", "snippet_files": "snippets"}


def package_folder(name: Literal["data_files", "pages", "snippet_files"]) -> Path:
    """A folder of files that come with the package.

    Args:
        name: `"data_files"` (weights, records), `"pages"` (model pages with their YAML), or `"snippet_files"`
            (the programs that pages show).

    Raises:
        FileNotFoundError: If it is not there.

    Examples:
        >>> from advprop.runtime import package_folder
        >>> (package_folder("data_files") / "verification.yaml").is_file()
        True
    """
    folders = [_PACKAGE / name]
    if name in _IN_CHECKOUT:
        folders.append(_PACKAGE.parent / _IN_CHECKOUT[name])
    for folder in folders:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"there is no {' and no '.join(map(str, folders))}; install advprop again")
