"""What a notebook's page says of its runs, and where else the notebook is to be had."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from scripts.gpu_runs import GpuRun
from scripts.published import Published

Stamp = Mapping[str, Any]


def stamp(
    run: Stamp | None,
    name: str,
    gpu: GpuRun | None = None,
    changed: Sequence[str] = (),
    links: str = "",
) -> str:
    """When, where and with what a notebook was run, and how to get it; HTML for below the title.

    Args:
        run: The stamp of the run that the page shows, if it shows one.
        name: The notebook's file, beside the page.
        gpu: Its last run on a GPU, if there was one.
        changed: What has changed since that run.
        links: HTML of further links.
    """
    download = f'<a href="{escape(name)}" download>Download this notebook</a>'
    if not run:
        return f'<p class="stamp">{download}{links}</p>'
    facts = [
        ("Runs in", "".join(f'<span class="badge">{each}</span>' for each in badges(run, gpu, changed))),
        ("Last run", _day(run)),
        ("Commit", f"<code>{escape(run['commit'])}</code>"),
        ("With", _versions(run)),
    ]
    if gpu and gpu.stamp["device"] != run["device"]:
        kept = "" if any(gpu.outputs.values()) else " Its outputs were not kept."
        commit = f"commit <code>{escape(gpu.stamp['commit'])}</code>"
        told = f"{_day(gpu.stamp)}, {commit}, with {_versions(gpu.stamp)}. {since(changed)}{kept}"
        facts.append(("GPU run", told))
    rows = "".join(f"<div><dt>{term}</dt><dd>{fact}</dd></div>" for term, fact in facts)
    return f'<div class="stamp"><dl>{rows}</dl><p>{download} with its outputs{links}</p></div>'


def badges(run: Stamp, gpu: GpuRun | None = None, changed: Sequence[str] = ()) -> list[str]:
    """How long the run of a page took, and the last one on a GPU if that was another."""
    found = [badge(run)]
    if gpu and gpu.stamp["device"] != run["device"]:
        found.append(badge(gpu.stamp) + ", older code" * bool(changed))
    return found


def since(changed: Sequence[str]) -> str:
    """What has changed since a run, in a sentence."""
    if not changed:
        return "Neither its cells nor the package have changed since."
    return f"<strong>Since then {' and '.join(changed)} have changed.</strong>"


def badge(run: Stamp) -> str:
    """How long a run took, and on what."""
    return f"{duration(run['seconds'])} on {escape(run['device'])}"


def duration(seconds: float) -> str:
    """Seconds in words, minutes from a hundred seconds on."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def gpu_note(run: Stamp | None, changed: Sequence[str]) -> str:
    """What stands between a cell for a GPU and its outputs; HTML."""
    if run is None:
        return '<p class="stamp gpu">This cell needs a GPU. No output of it on one has been kept yet.</p>'
    return (
        f'<p class="stamp gpu">This cell needs a GPU. Its last run was on {escape(run["device"])}, '
        f"{_day(run)}, commit <code>{escape(run['commit'])}</code>, with {_versions(run)}. "
        f"{since(changed)}</p>"
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
