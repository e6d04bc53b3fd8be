"""The model index as text for a terminal: a table of all models, and everything about one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import timm

from advprop.cards import ModelCard, ModelIndex
from advprop.models import current_name
from advprop.results import load_results


def format_table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Columns side by side, as wide as they must be.

    Args:
        heads: Names of the columns.
        rows: Cells of each row, as many as there are columns.
        right: Columns that are aligned to the right, such as numbers.

    Examples:
        >>> from advprop.listing import format_table
        >>> print(format_table(("model", "MB"), [("b0", "21.4"), ("b8", "351.4")], right={1}))
        model     MB
        b0      21.4
        b8     351.4
    """
    table = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    aligned = set(right)
    lines = (
        (
            cell.rjust(width) if at in aligned else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def list_cards(index: ModelIndex) -> str:
    """A table of the models, small ones first, with timm's names and accuracy where it was measured.

    Examples:
        >>> from advprop.cards import load_model_index
        >>> from advprop.listing import list_cards
        >>> print(list_cards(load_model_index()).splitlines()[1][:49])
        tf_efficientnet_b0_ap  tf_efficientnet_b0.ap_in1k
    """
    results = load_results()
    rows = []
    for card in sorted(index.models, key=lambda card: card.flops):
        name = _timm_name(card)
        measured = results.of(name)
        millions = measured.parameters if measured else (card.parameters or 0) / 1e6
        rows.append(
            (
                card.name,
                name,
                str(card.image_size),
                f"{card.file_size / 1e6:.1f}",
                f"{millions:.1f}" if millions >= 0.1 else f"{millions:.2g}" if millions else "-",
                f"{measured.accuracy['imagenet'].top1:.2f}" if measured else "-",
            )
        )
    heads = ("name", "in timm", "pixels", "file, MB", "params, M", "ImageNet top-1, %")
    return format_table(heads, rows, right={2, 3, 4, 5})


def describe_card(card: ModelCard, index: ModelIndex, width: int = 100) -> str:
    """All that the index says of one model, each field with its meaning.

    Args:
        card: The model.
        index: The index that it is from.
        width: Columns that the text may have.
    """
    name = _timm_name(card)
    rows = [("in timm", name, "its name there today")]
    if config := timm.get_pretrained_cfg(name, allow_unregistered=True):
        rows += [("mean, std", f"{config.mean}, {config.std}", "of the pixels that it wants")]
    if measured := load_results().of(name):
        top1 = f"{measured.accuracy['imagenet'].top1:.2f} %"
        rows += [("ImageNet top-1", top1, "measured by timm's authors")]
    for field, label, meaning in ModelCard.terms():
        value = getattr(card, field)
        if value is not None:
            rows.append((label, ", ".join(value) if isinstance(value, tuple) else show(value), meaning))
    for paper in (each.paper for each in index.collections if each.name == card.collection):
        gone = "as published; that site has shut down" if "paperswithcode.com" in paper.url else ""
        rows += [("paper", paper.title, "what it comes from"), ("", paper.url, gone)]
    left = max(len(label) for label, *_ in rows) + 2
    return "\n".join(
        textwrap.fill(
            f"{value} ({meaning})" if meaning else value,
            width=width,
            initial_indent=label.ljust(left),
            subsequent_indent=" " * left,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for label, value, meaning in rows
    )


def show(value: object) -> str:
    """A value of the index as text: whole numbers with their thousands apart."""
    if isinstance(value, tuple):
        return " ".join(map(show, value))
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def _timm_name(card: ModelCard) -> str:
    try:
        return current_name(card.name)
    except ValueError:
        return "not in timm"
