"""The MkDocs side of the site: hands its events to the plain functions beside it."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the hook is loaded from its file, not as a part of a package

from advprop.cards import ModelIndexError
from docs.hooks import rooms, tree
from docs.hooks.content import finished
from docs.hooks.facts import package_changed
from docs.hooks.for_machines import feed, opensearch, redirect, releases, sections
from docs.hooks.head import Told, structured_data
from docs.hooks.html import lighten, only_needed, unquoted
from docs.hooks.policy import headers, inline_scripts, styles_apart, with_policy
from docs.hooks.rendering import PageError
from docs.hooks.social_card import social_card
from docs.hooks.sources import Source, as_markdown, listed, page_of_sources, path_beside, sources_apart
from docs.hooks.styles import keep_used, named_in_page
from scripts import notebook_cache
from scripts.notebook_cache import NotebookError
from scripts.published import SettingError

log = logging.getLogger("mkdocs.hooks.advprop")

_site: tree.Site
_notebooks: dict[str, str] = {}
_sources: dict[str, list[Source]] = {}  # by the paths of their pages
_added: dict[str, str | bytes] = {}  # what is no file of `docs/`, as the last build wrote it
_releases: list[re.Match[str]] = []
_watched = False  # by `mkdocs serve`, which puts a script of its own into pages


class _Unchanged(File):
    """A generated file that is as it was, so that `mkdocs serve --dirty` need not build it again."""

    def is_modified(self) -> bool:
        """MkDocs builds it if so."""
        return False


@contextmanager
def _mistakes_told() -> Iterator[None]:
    """A mistake in a page becomes a line that ends the build."""
    try:
        yield
    except (PageError, ModelIndexError, NotebookError, SettingError) as error:
        raise PluginError(str(error)) from error


def on_startup(command: str, dirty: bool) -> None:
    """Remember whether pages are served while they are written."""
    global _watched
    _watched = command == "serve"


@event_priority(100)  # before the plugins, which read what is filled in here
@_mistakes_told()
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read the facts, and name the generated pages in the navigation."""
    global _site
    if config.strict:  # --quiet would hide warnings from the count that --strict looks at
        logging.getLogger("mkdocs").setLevel(min(logging.WARNING, log.getEffectiveLevel()))
    rooms.forget()
    if package_changed():
        log.warning("advprop/ has changed, and what pages ask it is answered as before: start MkDocs again")
    _site = tree.Site()
    place = _site.place
    config.site_url = config.site_url or (place.site and f"{place.site}/")
    if place.repository:
        config.repo_url, config.repo_name = place.repository, "GitHub" if place.on_github else "GitLab"
        config.edit_uri = place.page("edit", "docs/")
        config.theme["features"].append("content.action.edit")
    _notebooks.clear()
    _sources.clear()
    _releases[:] = releases((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if notebook_cache.RUNS.is_dir():  # MkDocs knows no path in `watch` that may be missing
        config.watch.append(str(notebook_cache.RUNS))
    for check in _site.facts.verification.failures:
        log.warning(
            f"{check.model}: {check.field} is {check.stated} on its card and {check.found} in the code"
        )
    config.nav = _site.navigation(config.nav or [])
    if not _watched:
        config.plugins["llmstxt"].config.sections = sections(config.nav, _site.about)
    if os.environ.get("MIKE_DOCS_VERSION"):  # only a published site has other versions to choose from
        config.extra["version"] = {"provider": "mike"}
    return config


@event_priority(100)  # before mkdocs-jupyter, which looks for notebooks among the files
@_mistakes_told()
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of `docs/`."""

    def add(path: str, content: str | bytes, **options: Any) -> None:
        kind = _Unchanged if _watched and _added.get(path) == content else File
        files.append(kind.generated(config, path, content=content, **options))
        _added[path] = content

    for model in _site.facts.models:
        add(model.path, _site.model_page(model))
    for path in tree.notebook_pages():
        found = tree.notebook(path, _site.place)
        if found.problem:
            log.warning(found.problem)
        _notebooks[path] = found.markdown
        files.append(File(path, str(found.path.parent.parent), config.site_dir, config.use_directory_urls))
        for name, picture in found.files.items():
            add(f"{path.removesuffix('.ipynb')}/{name}", picture)
    if not _watched:  # else a page is built anew without those that belong to it
        written = [each for each in files.documentation_pages() if not each.generated_by]
        for told in [each for each in written if re.search("^::: ", each.content_string, re.MULTILINE)]:
            path, text = page_of_sources(told.src_uri, told.content_string)
            _sources[path] = []
            add(path, text, inclusion=InclusionLevel.NOT_IN_NAV)
    for path in _site.collection_pages():  # others link to models/advprop.html
        add(f"{path.removesuffix('.md')}.html", with_policy(redirect(f"{Path(path).stem}/")))
    if config.site_url:
        about = config.site_description or ""
        add("opensearch.xml", opensearch(config.site_name, about, _home(config)))
        if _releases:
            add("feed.xml", feed(config.site_name, _releases, _home(config)))
    for name, picture in _site.pictures().items():
        add(name, picture)
    return files


@event_priority(-100)  # after mkdocs-jupyter, which has put its renderer in the place of MkDocs' own
def on_pre_page(page: Page, config: MkDocsConfig, files: Files) -> Page:
    """Let MkDocs render notebooks as it renders any page, and say where they are edited."""
    if page.file.src_uri in _notebooks:
        page.__dict__.pop("render", None)
        page.edit_url = _site.place.page("edit", page.file.src_uri) or None
    return page


@_mistakes_told()
def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Render a page's Jinja; a model index at its end stays out of it."""
    path = page.file.src_uri
    if path in _sources:
        return markdown
    page.meta["description"] = _site.about(path) or config.site_description
    if path in _notebooks:
        return _notebooks[path]
    if page.file.generated_by:
        return markdown
    return _site.written_page(path, markdown, page.file.content_string)


@_mistakes_told()
def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas become MathML; the search leaves out sources, cells and programs."""
    path = page.file.src_uri
    where = path if path in _notebooks else f"docs/{path}"
    if path in _sources:
        return f"{html}\n{listed(_sources[path])}"
    shown = finished(html, where, prose_only=path in _notebooks or bool(page.file.generated_by))
    if (beside := path_beside(path)) in _sources:
        shown, _sources[beside] = sources_apart(shown)
    return shown


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """What programs read is named in the head; styles move into a file beside the page.

    What the search has left out need not say so any more.
    """
    told = _told(page, config)
    head = told.tags(structured_data(told, _site.facts, _site.place), has_feed=bool(_releases))
    output = re.sub(r' data-search-exclude(="[^"]*")?(?=[^<]*>)', "", output)
    output, styles = styles_apart(only_needed(output))
    beside = Path(page.file.abs_dest_path).parent
    beside.mkdir(parents=True, exist_ok=True)
    if styles:
        (beside / "page.css").write_text(styles, encoding="utf-8")
        head += '<link rel="stylesheet" href="page.css">'
    if told.path in _sources:  # the plugin writes that of pages in the navigation
        text = as_markdown(told.title, _sources[told.path])
        (beside / "index.md").write_text(text, encoding="utf-8")
    if told.home:
        (beside / "card.png").write_bytes(social_card(told.title, told.about, told.kind))
    return _finished(output.replace("</head>", f"{head}</head>", 1))


def _told(page: Page, config: MkDocsConfig) -> Told:
    path = page.file.src_uri
    title = str(page.title) if path != "index.md" else config.site_name
    home = _home(config) if config.site_url else ""
    about = str(page.meta["description"])
    return Told(path, title, about, page.canonical_url or "", home, config.site_name)


def on_post_template(output: str, template_name: str, config: MkDocsConfig) -> str:
    """The page of a missing address has the policy of all others."""
    return _finished(output) if template_name == "404.html" else output


def on_post_build(config: MkDocsConfig) -> None:
    """Write what a server sends with every page, and the styles that some page uses."""
    site = Path(config.site_dir)
    pages = [path.read_text(encoding="utf-8") for path in site.rglob("*.html")]
    if not _watched:  # then only pages that change are built
        keep_used(site / "assets", set().union(*map(named_in_page, pages)))
    scripts = set().union(*map(inline_scripts, pages))
    (site / "_headers").write_text(headers(scripts), encoding="utf-8")


def _home(config: MkDocsConfig) -> str:
    """The address of the site, which mike leaves without the slash at its end."""
    return f"{(config.site_url or '').rstrip('/')}/"


def _finished(page: str) -> str:
    """Light, with a policy and a name of the search to be read out; no script asks the repository's host."""
    page = re.sub(r'(<a [^>]*class="md-source") data-md-component="source"', r"\1", page)
    page = lighten(page).replace(' role="dialog">', ' role="dialog" aria-label="Search">', 1)
    return page if _watched else unquoted(with_policy(page))
