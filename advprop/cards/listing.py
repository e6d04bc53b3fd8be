"""The model index as text for a terminal: a table of all models, everything about one, what was verified."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from advprop.cards.model_card import ModelCard
from advprop.cards.model_index import ModelIndex, timm_name
from advprop.cards.timm_results import load_results
from advprop.runtime import format_table

if TYPE_CHECKING:  # a list waits for no timm
    from advprop.cards.verification import Verification

_NOT_IN_TIMM = "not in timm"


def list_cards(index: ModelIndex) -> str:
    """A table of the models, small ones first, with timm's names and measured accuracy, and its legend.

    Examples:
        >>> from advprop import load_model_index
        >>> from advprop.cards import list_cards
        >>> "tf_efficientnet_b0.ap_in1k" in list_cards(load_model_index())
        True
    """
    results = load_results()
    rows = []
    for card in sorted(index.models, key=lambda card: card.flops):
        name = _timm_name(card)
        measured = results.of(name)
        parameters = measured.parameters * 1e6 if measured else card.parameters
        rows.append(
            (
                card.name,
                name,
                str(card.image_size),
                f"{card.file_size / 1e6:.1f}",
                _millions(parameters) if parameters else "-",
                f"{measured.accuracy['imagenet'].top1:.2f}" if measured else "-",
            )
        )
    heads = ("name", "in timm", "px", "MB", "params", "top-1")
    return (
        f"{format_table(heads, rows, right={2, 3, 4, 5})}\n\n"
        "px: height and width of the input; MB: file of the weights; top-1: accuracy on\n"
        f"ImageNet in %, measured by {results.measured_by.partition(',')[0]}. More: advprop models NAME"
    )


def describe_card(card: ModelCard, index: ModelIndex, width: int = 100) -> str:
    """All that the index says of one model, each field with its meaning, in at most `width` columns."""
    rows = list(_rows(card, index))
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


def format_verification(verification: Verification, width: int = 100) -> str:
    """The checks of each model as a table, explanations in at most `width` columns, and a summary."""
    notes: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    for model in dict.fromkeys(check.model for check in verification.checks):
        rows.append((model, "", "", ""))
        for field, check in verification.of(model).items():
            note = f" [{notes.setdefault(check.explanation, len(notes) + 1)}]" if check.explanation else ""
            found = textwrap.shorten(show(check.found), width=40, placeholder=" ...")
            rows.append((f"  {field}", show(check.stated), found, check.status + note))
    count = Counter(check.status for check in verification.checks)
    summary = (
        f"{len(verification.checks)} checks: {count['agrees']} agree, {count['found']} found where the index "
        f"states nothing,\n{count['explained']} explained, {count['MISMATCH']} MISMATCH"
    )
    wrong = "".join(
        f"\n{check.model}: {check.field} is {show(check.stated)} in the index; found: {show(check.found)}"
        for check in verification.failures
    )
    ran = " ".join(f"{package} {number}" for package, number in verification.versions.items())
    table = format_table(("field", "stated", "found", "status"), rows, right={1, 2})
    explained = "\n".join(
        textwrap.fill(f"[{number}] {note}", width=width, subsequent_indent="    ")
        for note, number in notes.items()
    )
    return f"{table}\n\n{explained}\n\n{summary}{wrong}\n{ran}"


def _rows(card: ModelCard, index: ModelIndex) -> Iterator[tuple[str, str, str]]:
    """Label, value and meaning of all that is known of a model."""
    name = _timm_name(card)
    yield "Name", card.name, ""
    yield "in timm", name, ""
    if name != _NOT_IN_TIMM:
        from advprop.models import data_config

        config = data_config(name)
        yield "mean, std", f"{config['mean']}, {config['std']}", "what pixels in [0, 1] are normalized with"
    if measured := load_results().of(name):
        yield "ImageNet top-1", f"{measured.accuracy['imagenet'].top1:.2f} %", "measured by timm's authors"
        if card.parameters is None:
            yield "parameters", _millions(measured.parameters * 1e6), "counted by timm's authors"
    for field, label, meaning, _ in ModelCard.terms():
        value = getattr(card, field)
        if value is None or field in ("name", "id"):
            continue
        text = ", ".join(value) if isinstance(value, tuple) else show(value)
        yield label, text, "" if field in ("code", "collection") else meaning
    for paper in (each.paper for each in index.collections if each.name == card.collection):
        moved = "the site that the card names has shut down" if paper.address != paper.url else ""
        yield "paper", paper.title, ""
        yield "", paper.address, moved


def _millions(number: float) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def show(value: object) -> str:
    """A value of the index as text: whole numbers with their thousands apart."""
    if isinstance(value, tuple):
        return " ".join(map(show, value))
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def _timm_name(card: ModelCard) -> str:
    try:
        return timm_name(card.name)
    except ValueError:
        return _NOT_IN_TIMM
