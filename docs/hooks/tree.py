"""The pages of the site as plain functions that return Markdown; any site generator could sit on top."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml
from mkdocs.utils.meta import get_data

from advprop.cards import load_model_index, load_results, show, strip_model_index
from advprop.recipes import AUTO_MODELS, FEW_IMAGES, defaults_by_data
from docs.hooks import calculator, charts, commands, measured, rendering, rooms, stamps
from docs.hooks.facts import Facts, Model, verified
from docs.hooks.for_machines import briefly, in_words
from docs.hooks.markdown_cells import title_and_summary
from docs.hooks.notebooks import LARGEST_FIGURE, Rendered, first_figure, render_notebook
from docs.hooks.outputs import Figures
from docs.hooks.rendering import PageError, render
from scripts import gpu_runs, notebook_cache
from scripts.published import PAPER, Published, published
from scripts.surroundings import ROOT

DOCS = ROOT / "docs"
TEMPLATES = DOCS / "templates"
_CARD = 560  # pixels that the picture of a tutorial in the list is wide
DATA_FILES = ROOT / "advprop" / "data_files"


class Tutorial(NamedTuple):
    """What the gallery says of one: its page, title and first words, its runs, its picture in HTML."""

    path: str
    title: str
    summary: str
    runs: tuple[str, ...] = ()
    picture: str = ""


class Gallery(NamedTuple):
    """The tutorials, and the bitmaps of their pictures by name, which lie beside the page."""

    tutorials: list[Tutorial]
    files: dict[str, bytes]


class Site:
    """All pages, made from the facts.

    Raises:
        ValueError: If a model index has mistakes; the message has file, line, column and field of each.
        PageError: If timm has no model of a card's name.
    """

    def __init__(self) -> None:
        index = load_model_index()
        self.place = published()
        self.facts: Facts = Facts(index, load_results(), verified(index))
        for check in self.facts.verification.failures:
            if check.field == "Name":  # nothing can be said of it
                raise PageError(f"{check.model}: {check.found}")
        self.gallery, self.cost_charts = cache(gallery), cache(cost_charts)
        self.env: jinja2.Environment = rendering.environment(
            facts=self.facts,
            gallery=self.gallery,
            digits=json.loads(_text(DATA_FILES / "advprop_digits.json")),
            digits_recipe=_text(DATA_FILES / "advprop_digits.yaml"),
            command_help=commands.command_help,
            glossary=yaml.safe_load(_text(TEMPLATES / "glossary.yaml")),
            measured=measured,
            calculator=calculator,
            prices=lambda: calculator.prices(self.facts.members("AdvProp"), measured.record("benchmark")),
            install=self.place.install(),
            defaults_by_data=defaults_by_data,
            few_images=FEW_IMAGES,
            auto_models=AUTO_MODELS,
            arxiv=PAPER,
            accuracy_chart=lambda: charts.accuracy_chart(self.facts.results),
            gain_chart=lambda: charts.gain_chart(self.facts.results),
            cost_charts=lambda: self.cost_charts()[0],
            advprop_picture=advprop_picture,
            rooms=rooms,
            changelog=lambda: _text(ROOT / "CHANGELOG.md"),
        )
        self.env.filters["timm_name"] = lambda name: self.facts.model(name).timm_name
        self.env.filters["show"] = show

    def written_page(self, path: str, markdown: str, source: str) -> str:
        """A page of `docs/` with its Jinja rendered and no model index; `source` is the whole file."""
        text = strip_model_index(markdown.lstrip("\n"))
        first_line = source[: max(source.find(text[:200]), 0)].count("\n") + 1
        names: dict[str, Any] = {}
        if collections := self.facts.pages.get(path):
            members = self.facts.members(collections[0].name)
            names = {"collection": collections[0], "models": members}
            names |= {"model_name": members[0].name} if members else {}  # for the snippets
        return render(self.env, text, where=f"docs/{path}", first_line=first_line, **names)

    def about(self, path: str) -> str:
        """What a page is about: its description, or the paragraph below its title; of a model what it is."""
        for model in self.facts.models:
            if model.path == path:
                found = model.measured
                top1 = f", {found.accuracy['imagenet'].top1:.1f} % top-1 on ImageNet" if found else ""
                return f"{model.network}, an image classifier {model.method}{top1}"
        if path.endswith(".ipynb"):
            return briefly(in_words(_title_and_summary(path)[1]))
        text, front = get_data(_text(DOCS / path))
        return briefly(str(front.get("description") or in_words(title_and_summary(text)[1])))

    def collection_pages(self) -> list[str]:
        """The pages of collections, each followed by those of its models."""
        found = []
        for path, collections in self.facts.pages.items():
            found.append(path)
            found += [model.path for each in collections for model in self.facts.members(each.name)]
        return found

    def navigation(self, nav: list[Any]) -> list[Any]:
        """The navigation with `models/*` and `notebooks/*` replaced by the pages that these stand for."""
        expanded: list[Any] = []
        for item in nav:
            if isinstance(item, dict):
                below = {k: self.navigation(v) if isinstance(v, list) else v for k, v in item.items()}
                expanded.append(below)
            else:
                added = {"models/*": self.collection_pages, "notebooks/*": notebook_pages}.get(item)
                expanded += added() if added else [item]
        return expanded

    def model_page(self, model: Model) -> str:
        """The page of one model."""
        text, where = _text(TEMPLATES / "model_page.md"), "docs/templates/model_page.md"
        return render(self.env, text, where=where, model=model, model_name=model.name)

    def pictures(self) -> dict[str, bytes]:
        """What lies beside written pages, by its path."""
        found = {"tutorials": self.gallery().files, "cost": self.cost_charts()[1]}
        return {f"{page}/{name}": content for page, files in found.items() for name, content in files.items()}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def advprop_picture() -> str:
    """The picture of AdvProp that the README has, without its own colors: those are the theme's here."""
    return re.sub(r"\s*<!--.*?</style>", "", _text(DOCS / "assets" / "advprop.svg"), count=1, flags=re.DOTALL)


def notebook_pages() -> list[str]:
    """The notebooks, in their order."""
    return [f"notebooks/{path.name}" for path in notebook_cache.tutorials()]


def notebook(path: str, place: Published) -> Rendered:
    """The page of a notebook: the run that passed; without one the notebook as written, with a notice."""
    source = notebook_cache.NOTEBOOKS / Path(path).name
    gpu, links = gpu_runs.last_run(source), stamps.link_to_colab(place, path)
    try:
        return render_notebook(notebook_cache.run_of(source), gpu=gpu, links=links)
    except notebook_cache.MissingRunError as error:
        return render_notebook(source, problem=str(error), gpu=gpu, links=links)


def cost_charts() -> tuple[list[str], dict[str, bytes]]:
    """A chart for each record of what a step costs by settings, and the pictures that lie beside the page."""
    figures = Figures(largest=LARGEST_FIGURE)
    records = measured.record("cost_curves") if measured.recorded("cost_curves") else []
    return [charts.cost_chart(each, figures) for each in records], figures.files


def gallery() -> Gallery:
    """The tutorials in their order, each with its picture."""
    figures = Figures(largest=LARGEST_FIGURE, widest=_CARD)
    return Gallery([_tutorial(path, figures) for path in notebook_pages()], figures.files)


def _title_and_summary(path: str) -> tuple[str, str]:
    """The title of a notebook, and its first paragraph."""
    notebook = notebook_cache.read(ROOT / path)
    words = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    title, summary = title_and_summary(words)
    return title or Path(path).stem, summary


def _tutorial(path: str, figures: Figures) -> Tutorial:
    title, summary = _title_and_summary(path)
    try:
        executed = notebook_cache.read(notebook_cache.run_of(ROOT / path))
    except notebook_cache.MissingRunError:
        return Tutorial(path, title, summary)
    run = executed.metadata["advprop"]
    runs = stamps.badges(run, stamps.other_run(run, gpu_runs.last_run(ROOT / path)))
    return Tutorial(path, title, summary, tuple(runs), first_figure(executed, figures))
