"""The checks of the model index as text for a terminal."""

import textwrap
from collections import Counter

from advprop.cards.listing import show
from advprop.cards.verification import Verification
from advprop.runtime import format_table


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
