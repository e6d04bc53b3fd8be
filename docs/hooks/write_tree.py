"""`python -m docs.hooks.write_tree FOLDER` writes all pages as Markdown, for another site generator."""

import argparse
from pathlib import Path

from docs.hooks import tree

NOT_PAGES = ("hooks", "templates", "__pycache__")


def write(folder: Path) -> list[str]:
    """Write every page, generated ones included, and what lies beside them; return the pages' paths."""
    site = tree.Site()
    pages: dict[str, str] = {path: site.model_page(path) for path in site.model_pages()}
    files: dict[str, bytes] = {}
    for source in sorted(tree.DOCS.rglob("*")):
        path = source.relative_to(tree.DOCS)
        if source.is_dir() or path.parts[0] in NOT_PAGES:
            continue
        if source.suffix == ".md":
            text = source.read_text(encoding="utf-8")
            pages[path.as_posix()] = site.written_page(path.as_posix(), text, text)
        else:
            files[path.as_posix()] = source.read_bytes()
    for name in tree.notebook_pages():
        found = tree.notebook(name)
        stem = name.removesuffix(".ipynb")
        pages[f"{stem}.md"] = found.page.markdown
        files |= {f"{stem}/{each}": content for each, content in found.page.files.items()}
        files[name] = (found.folder / name).read_bytes()
    files |= {f"tutorials/{name}": content for name, content in tree.gallery().files.items()}
    files |= {name: text.encode() for name, text in pages.items()}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return sorted(pages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the site's pages as Markdown.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
