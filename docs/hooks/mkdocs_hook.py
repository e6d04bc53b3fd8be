"""The MkDocs side of the site: hands its events to the plain functions beside it."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the hook is loaded from its file, not as a part of a package

from advprop.cards import ModelIndexError
from docs.hooks import rooms, tree
from docs.hooks.facts import package_changed
from docs.hooks.html import lighten, only_needed, to_mathml
from docs.hooks.rendering import PageError
from scripts import notebook_cache
from scripts.notebook_cache import NotebookError
from scripts.published import Published, SettingError, published

log = logging.getLogger("mkdocs.hooks.advprop")

_site: tree.Site
_place: Published
_notebooks: dict[str, str] = {}


@contextmanager
def _mistakes_told() -> Iterator[None]:
    """A mistake in a page becomes a line that ends the build."""
    try:
        yield
    except (PageError, ModelIndexError, NotebookError, SettingError) as error:
        raise PluginError(str(error)) from error


@_mistakes_told()
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read the facts, and name the generated pages in the navigation."""
    global _site, _place
    if config.strict:  # --quiet would hide warnings from the count that --strict looks at
        logging.getLogger("mkdocs").setLevel(min(logging.WARNING, log.getEffectiveLevel()))
    rooms.forget()
    if package_changed():
        log.warning("advprop/ has changed, and what pages ask it is answered as before: start MkDocs again")
    _place = published()
    config.site_url = config.site_url or _place.site
    if _place.repository:
        config.repo_url, config.repo_name = _place.repository, "GitHub" if _place.on_github else "GitLab"
    _site = tree.Site()
    _notebooks.clear()
    if notebook_cache.RUNS.is_dir():  # MkDocs knows no path in `watch` that may be missing
        config.watch.append(str(notebook_cache.RUNS))
    for check in _site.facts.verification.failures:
        log.warning(
            f"{check.model}: {check.field} is {check.stated} on its card and {check.found} in the code"
        )
    added = {"models/*": _site.collection_pages(), "notebooks/*": tree.notebook_pages()}
    config.nav = _expanded(config.nav or [], added)
    return config


@event_priority(100)  # before mkdocs-jupyter, which looks for notebooks among the files
@_mistakes_told()
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of `docs/`."""
    for model in _site.facts.models:
        files.append(File.generated(config, model.path, content=_site.model_page(model)))
    for path in tree.notebook_pages():
        found = tree.notebook(path, _place)
        if found.problem:
            log.warning(found.problem)
        _notebooks[path] = found.markdown
        files.append(File(path, str(found.path.parent.parent), config.site_dir, config.use_directory_urls))
        for name, content in found.files.items():
            files.append(File.generated(config, f"{path.removesuffix('.ipynb')}/{name}", content=content))
    for name, content in tree.gallery().files.items():
        files.append(File.generated(config, f"tutorials/{name}", content=content))
    return files


@event_priority(-100)  # after mkdocs-jupyter, which has put its renderer in the place of MkDocs' own
def on_pre_page(page: Page, config: MkDocsConfig, files: Files) -> Page:
    """Let MkDocs render notebooks as it renders any page."""
    if page.file.src_uri in _notebooks:
        page.__dict__.pop("render", None)
    return page


@_mistakes_told()
def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Render a page's Jinja; a model index at its end stays out of it."""
    path = page.file.src_uri
    if path in _notebooks:
        return _notebooks[path]
    if page.file.generated_by:
        return markdown
    return _site.written_page(path, markdown, page.file.content_string)


@_mistakes_told()
def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas become MathML, code gets lighter; the search leaves out sources, cells and programs."""
    source = '<details class="mkdocstrings-source"'
    path = page.file.src_uri
    shown = to_mathml(html, path if path in _notebooks else f"docs/{path}")
    if path in _notebooks or page.file.generated_by:  # cells with what they show; each model's programs
        shown = re.sub(r"<(figure|pre|table)\b", r"<\1 data-search-exclude", shown)
    return lighten(shown).replace(source, f"{source} data-search-exclude")


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Structured data for search engines goes into the head; no script asks the repository's host.

    What the search has left out need not say so any more.
    """
    model = next((each for each in _site.facts.models if each.path == page.file.src_uri), None)
    data = model.structured_data(page.canonical_url) if model else ""
    script = f'<script type="application/ld+json">{data}</script>' if data else ""
    output = re.sub(r' data-search-exclude(="[^"]*")?(?=[^<]*>)', "", output)
    output = re.sub(r'(<a [^>]*class="md-source") data-md-component="source"', r"\1", output)
    return only_needed(output.replace("</head>", f"{script}</head>", 1))


def _expanded(nav: list[Any], added: dict[str, list[str]]) -> list[Any]:
    """The navigation with `folder/*` replaced by the pages added there."""
    expanded: list[Any] = []
    for item in nav:
        if isinstance(item, dict):
            expanded.append({k: _expanded(v, added) if isinstance(v, list) else v for k, v in item.items()})
        else:
            expanded += added.get(item, [item])
    return expanded
