"""Tables as text for a terminal."""

from collections.abc import Collection, Iterable, Sequence


def shorten(text: str, longest: int = 20) -> str:
    """A text of at most so many letters.

    Examples:
        >>> from advprop.runtime import shorten
        >>> shorten("soft-coated wheaten terrier")
        'soft-coated wheat...'
    """
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def format_table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """Columns side by side, as wide as they must be.

    Args:
        heads: Names of the columns.
        rows: Cells of each row, as many as there are columns.
        right: Columns that are aligned to the right, such as numbers.

    Examples:
        >>> from advprop.runtime import format_table
        >>> print(format_table(("model", "MB"), [("b0", "21.4"), ("b8", "351.4")], right={1}))
        model     MB
        b0      21.4
        b8     351.4
    """
    columns = []
    for at, column in enumerate(zip(heads, *rows, strict=True)):
        width = max(map(len, column))
        columns.append([cell.rjust(width) if at in right else cell.ljust(width) for cell in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
