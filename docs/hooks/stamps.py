"""What a notebook's page says of its runs, and where else the notebook is to be had."""

from collections.abc import Mapping
from html import escape
from typing import Any

from advprop.runtime import duration
from scripts.gpu_runs import GpuRun
from scripts.published import Published

Stamp = Mapping[str, Any]


def stamp(run: Stamp | None, name: str, gpu: GpuRun | None = None, links: str = "") -> str:
    """When, where and with what a notebook was run, and how to get it; HTML for below the title.

    Args:
        run: The stamp of the run that the page shows, if it shows one.
        name: The notebook's file, beside the page.
        gpu: Its last run on a GPU, if there was another there.
        links: HTML of further links.
    """
    download = f'<a href="{escape(name)}" download>Download this notebook</a>'
    if not run:
        return f'<p class="stamp">{download}{links}</p>'
    facts = [
        ("Runs in", "".join(f'<span class="badge">{each}</span>' for each in badges(run, gpu))),
        ("Last run", _day(run)),
        ("Commit", f"<code>{escape(run['commit'])}</code>"),
        ("With", _versions(run)),
    ]
    if gpu:
        kept = "" if any(gpu.outputs.values()) else " Its outputs were not kept."
        facts.append(("GPU run", _age(gpu) + kept))
    rows = "".join(f"<div><dt>{term}</dt><dd>{fact}</dd></div>" for term, fact in facts)
    return f'<div class="stamp"><dl>{rows}</dl><p>{download} with its outputs{links}</p></div>'


def other_run(run: Stamp | None, gpu: GpuRun | None) -> GpuRun | None:
    """The last run on a GPU, if that of the page was on something else."""
    return gpu if run and gpu and gpu.stamp["device"] != run["device"] else None


def badges(run: Stamp, gpu: GpuRun | None = None) -> list[str]:
    """How long the run of a page took, and on what; and the last one on a GPU if that was another."""
    found = [run, gpu.stamp] if gpu else [run]
    told = [f"{duration(each['seconds'])} on {escape(each['device'])}" for each in found]
    told[-1] += ", older code" * bool(gpu and gpu.changed)
    return told


def gpu_note(gpu: GpuRun | None) -> str:
    """What stands between a cell for a GPU and its outputs, which the run has, if there are any; HTML."""
    if gpu is None:
        return '<p class="stamp gpu">This cell needs a GPU. No output of it on one has been kept yet.</p>'
    device = escape(gpu.stamp["device"])
    return f'<p class="stamp gpu">This cell needs a GPU. Its last run was on {device}, {_age(gpu)}</p>'


def link_to_colab(place: Published, path: str) -> str:
    """A link that opens a notebook in Colab: HTML, empty where Colab cannot read the repository."""
    link = place.colab(path)
    return f' · <a href="{escape(link)}">Open in Colab</a>' if link else ""


def _age(gpu: GpuRun) -> str:
    """When and with what a run was, and what has changed since."""
    told = (
        f"{_day(gpu.stamp)}, commit <code>{escape(gpu.stamp['commit'])}</code>, with {_versions(gpu.stamp)}. "
    )
    if not gpu.changed:
        return told + "Neither its cells nor the package have changed since."
    return told + f"<strong>Since then {' and '.join(gpu.changed)} have changed.</strong>"


def _day(run: Stamp) -> str:
    return f'<time datetime="{escape(run["date"])}">{escape(run["date"][:10])}</time>'


def _versions(run: Stamp) -> str:
    return escape(", ".join(f"{library} {version}" for library, version in run["versions"].items()))
