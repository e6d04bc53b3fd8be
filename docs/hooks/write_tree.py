"""The pages as a folder of Markdown with a configuration, for a generator that runs no hooks of MkDocs."""

import posixpath
import re
from pathlib import Path
from typing import Any

import yaml

from docs.hooks import tree
from docs.hooks.content import marked
from docs.hooks.for_machines import redirect
from docs.hooks.markdown_cells import split_code
from scripts.published import Published
from scripts.surroundings import ROOT

NOT_PAGES = {"hooks", "measured", "templates"}
# What a generator needs of mkdocs.yml, beside the theme and what is written here; plugins by their names.
PLUGINS = ("search", "mkdocstrings")
EXTENSION = "docs.hooks.content:extension"
_NOTEBOOK = re.compile(r"(\]\((?![a-z]+:)[^)\s#]+)\.ipynb(?=[)#])")
_ADDRESS = re.compile(r'(<[^<>]*\s(?:href|src|srcset)=")(?!#|/|[a-z]+:)([^"]+)')


def write(folder: Path, place: Published) -> list[str]:
    """Write `docs/` with every page and what lies beside them, and `mkdocs.yml`; return what to warn of."""
    site = tree.Site()
    problems = [f"{check.model}: {check.field} differs" for check in site.facts.verification.failures]
    files: dict[str, bytes | str] = dict(site.pictures())
    for source in sorted(path for path in tree.DOCS.rglob("*") if path.is_file()):
        name = source.relative_to(tree.DOCS).as_posix()
        if name.partition("/")[0] in NOT_PAGES:
            continue
        files[name] = source.read_bytes()
        if source.suffix == ".md":
            text = source.read_text(encoding="utf-8")
            files[name] = linked(name, marked(site.written_page(name, text, text), f"docs/{name}"))
    for model in site.facts.models:
        text = marked(site.model_page(model), f"docs/{model.path}", prose_only=True)
        files[model.path] = linked(model.path, text)
    for path in site.collection_pages():
        files[f"{path.removesuffix('.md')}.html"] = redirect(f"{Path(path).stem}/")
    for path in tree.notebook_pages():
        found, stem = tree.notebook(path, place), path.removesuffix(".ipynb")
        problems += [found.problem] * bool(found.problem)
        files[f"{stem}.md"] = linked(f"{stem}.md", marked(found.markdown, path, prose_only=True))
        files[f"{stem}/{found.path.name}"] = found.path.read_bytes()
        files |= {f"{stem}/{name}": content for name, content in found.files.items()}
    for name, content in files.items():
        target = folder / "docs" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "mkdocs.yml").write_text(_configuration(site, place), encoding="utf-8")
    return problems


def linked(path: str, markdown: str) -> str:
    """A page with links to other pages' Markdown, and with addresses in HTML from the place of the file.

    A browser takes the latter from the address of the page, `a/b/` for `a/b.md`, and so does MkDocs.
    """
    beside = "" if path.endswith("index.md") else f"{Path(path).stem}/"

    def from_file(found: re.Match[str]) -> str:
        address = found[2]
        return found[1] + posixpath.normpath(beside + address) + "/" * address.endswith("/")

    return "".join(
        part if is_code else _ADDRESS.sub(from_file, _NOTEBOOK.sub(r"\1.md", part))
        for part, is_code in split_code(markdown)
    )


def _configuration(site: tree.Site, place: Published) -> str:
    """The configuration: `mkdocs.yml` with all pages in its navigation, and with what needs no hook."""
    root: Any = yaml.compose((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))  # keeps tags such as !ENV
    found = {key.value: value for key, value in root.value}
    nav = yaml.safe_dump(site.navigation(yaml.safe_load(yaml.serialize(found["nav"]))), sort_keys=False)
    found["nav"] = yaml.compose(nav.replace(".ipynb", ".md"))
    found["plugins"].value = [node for node in found["plugins"].value if _name(node) in PLUGINS]
    found["markdown_extensions"].value.append(_node(EXTENSION))
    found["theme"].value += _node({"variant": "classic"}).value  # as Material looks
    for name in ("exclude_docs", "hooks", "site_url", "watch"):
        del found[name]
    addresses = {"site_url": place.site and f"{place.site}/", "repo_url": place.repository}
    found |= {name: _node(address) for name, address in addresses.items() if address}
    root.value = [(_node(name), value) for name, value in found.items()]
    return str(yaml.serialize(root, allow_unicode=True))


def _node(value: object) -> Any:
    """A value as a part of a configuration."""
    return yaml.compose(yaml.safe_dump(value))


def _name(plugin: yaml.Node) -> str:
    """The name of a plugin, with options or without."""
    return str(plugin.value[0][0].value if isinstance(plugin, yaml.MappingNode) else plugin.value)
