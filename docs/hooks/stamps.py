"""What a notebook's page says of its runs, and where else the notebook is to be had."""

from collections.abc import Mapping
from html import escape
from typing import Any

from scripts.published import Published

Stamp = Mapping[str, Any]


def stamp(run: Stamp | None, name: str, gpu: Stamp | None = None, links: str = "") -> str:
    """When, where and with what a notebook was run, and how to get it; HTML for below the title.

    Args:
        run: The stamp of the run that the page shows, if it shows one.
        name: The notebook's file, beside the page.
        gpu: The stamp of its last run on a GPU, if there was one.
        links: HTML of further links.
    """
    download = f'<a href="{escape(name)}" download>Download this notebook</a>'
    if not run:
        return f'<p class="stamp">{download}{links}</p>'
    times = [run] + ([gpu] if gpu and gpu["device"] != run["device"] else [])
    badges = "".join(f'<span class="badge">{badge(each)}</span>' for each in times)
    facts = (
        ("Runs in", badges),
        ("Last run", _day(run)),
        ("Commit", f"<code>{escape(run['commit'])}</code>"),
        ("With", _versions(run)),
    )
    rows = "".join(f"<div><dt>{term}</dt><dd>{fact}</dd></div>" for term, fact in facts)
    return f'<div class="stamp"><dl>{rows}</dl><p>{download} with its outputs{links}</p></div>'


def badge(run: Stamp) -> str:
    """How long a run took, and on what."""
    return f"{duration(run['seconds'])} on {escape(run['device'])}"


def duration(seconds: float) -> str:
    """Seconds in words, minutes from a hundred seconds on."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def gpu_note(run: Stamp | None, fresh: bool) -> str:
    """What stands between a cell for a GPU and its outputs; HTML."""
    if run is None:
        return '<p class="stamp gpu">This cell needs a GPU. It has not been run on one yet.</p>'
    changed = "" if fresh else " <strong>The code has changed since.</strong>"
    return (
        f'<p class="stamp gpu">This cell needs a GPU. Its last run was on {escape(run["device"])}, '
        f"{_day(run)}, commit <code>{escape(run['commit'])}</code>, with {_versions(run)}.{changed}</p>"
    )


def links(place: Published, path: str) -> str:
    """Links to a notebook in its repository, and to Colab where that can read it; HTML, nothing without one.

    Args:
        place: Where the project is published.
        path: The notebook in its repository.
    """
    found = {"Open in Colab": place.colab(path), "Edit it": place.page("edit", path)}
    return "".join(f' · <a href="{escape(link)}">{text}</a>' for text, link in found.items() if link)


def _day(run: Stamp) -> str:
    return f'<time datetime="{escape(run["date"])}">{escape(run["date"][:10])}</time>'


def _versions(run: Stamp) -> str:
    return escape(", ".join(f"{library} {version}" for library, version in run["versions"].items()))
