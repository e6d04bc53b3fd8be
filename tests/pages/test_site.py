"""The site: it builds, is complete, and mistakes in what it is made of are told with their place."""

import base64
import hashlib
import json
import re
from inspect import isfunction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from bs4 import BeautifulSoup
from nbformat import v4

import advprop
from advprop import PixelModel, create_model
from advprop.cards.model_index import load_model_index
from advprop.cards.timm_results import load_results
from advprop.cards.verification import Check
from docs.hooks import notebooks, rendering, rooms, tree
from docs.hooks.for_machines import in_words
from docs.hooks.html import lighten, only_needed, unquoted
from docs.hooks.policy import styles_apart
from docs.hooks.styles import named_in_page, named_in_script, only_used
from scripts.serve import read_headers
from tests.site_tools import ROOT, build, built_site, code_blocks, copied_checkout, page_path, soup_of

MODELS = sorted(card.name for card in load_model_index().models)
NINE = sorted(card.name for card in load_model_index().members("AdvProp"))
WRITTEN = sorted(
    path.relative_to(ROOT / "docs").with_suffix("").as_posix()
    for path in (ROOT / "docs").rglob("*.md")
    if "templates" not in path.parts
)
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    return built_site(tmp_path_factory)


def written_of(site: Path) -> list[Path]:
    """The pages that somebody wrote, and not the sources that the reference leads to."""
    return [path for path in sorted(site.rglob("index.html")) if path.parent.name != "source"]


def pages_of(site: Path) -> set[str]:
    return {path.parent.relative_to(site).as_posix() for path in site.rglob("index.html")}


# --- what is there ---------------------------------------------------------------------------------


def test_every_page_is_built_and_no_other(site: Path) -> None:
    expected = {re.sub(r"(^|/)index$", "", page) or "." for page in WRITTEN}
    expected |= {f"models/{name}" for name in MODELS} | {f"notebooks/{name}" for name in NOTEBOOKS}
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")}
    expected |= {f"reference/{path.stem}/source" for path, text in texts.items() if "\n::: " in text}
    assert pages_of(site) == expected
    assert (site / "404.html").is_file()


def test_nothing_of_the_kitchen_is_published(site: Path) -> None:
    assert [path for path in site.rglob("*") if path.suffix in (".py", ".pyc", ".yaml", ".bib")] == []
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "In Collection:" not in text, f"the model index reached {path}"
        assert not re.search(r"\{\{|\{%", text), f"Jinja reached {path}"
        assert "paperswithcode" not in text
        assert str(ROOT) not in text


def test_the_reference_has_every_public_name(site: Path) -> None:
    ids = {tag["id"] for path in site.glob("reference/*/index.html") for tag in soup_of(path).select("[id]")}
    # What shares its name with its module has the longer address.
    missing = [name for name in advprop.__all__ if not {f"advprop.{name}", f"advprop.{name}.{name}"} & ids]
    assert missing == []


def test_the_reference_leads_to_the_source_of_every_function(site: Path) -> None:
    shown = {}
    for path in site.glob("reference/*/source/index.html"):
        told = soup_of(path.parent.parent / "index.html")
        links = {str(link["href"]) for link in told.select("p.source a")}
        headings = soup_of(path).select("article h2")
        assert links == {f"source/#{heading['id']}" for heading in headings}
        for heading in headings:
            name, file, code = str(heading["id"]), heading.find_next("p"), heading.find_next("td", "code")
            assert f"def {name.rpartition('.')[2]}(" in code.get_text() or "def __init__(" in code.get_text()
            assert heading.a["href"] == f"../#{name}"
            assert told.find(id=name)
            shown[name.rpartition(".")[2]] = file.get_text()
    functions = {name: thing for name in advprop.__all__ if isfunction(thing := getattr(advprop, name))}
    assert len(functions) > 20
    for name, function in functions.items():
        assert shown.get(name) == f"{function.__module__.replace('.', '/')}.py"
    assert shown["__call__"] == "advprop/attacks/pgd.py"  # and that of methods


def test_the_search_leaves_out_the_source(site: Path) -> None:
    sections = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    found = {section["location"]: section["text"] for section in sections}
    text = found["reference/data/#advprop.data.open_data"]
    assert "Opens a data set" in text
    assert "def open_data(" not in text


def test_the_search_leaves_out_cells_and_programs(site: Path) -> None:
    sections = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    found = {section["location"]: section["text"] for section in sections}
    for page in (f"notebooks/{NOTEBOOKS[0]}/", f"models/{NINE[0]}/"):
        texts = [text for location, text in found.items() if location.startswith(page)]
        assert texts
        assert not any("<pre" in text for text in texts)
        assert "data-search-exclude" not in page_path(site, page).read_text(encoding="utf-8")


def test_all_links_and_anchors_within_the_site_lead_somewhere(site: Path) -> None:
    broken = []
    ids = {path: {tag["id"] for tag in soup_of(path).select("[id]")} for path in site.rglob("index.html")}
    for path in ids:
        for link in soup_of(path).select("article a[href]"):
            address, _, anchor = str(link["href"]).partition("#")
            if ":" in address:
                continue
            target = (path.parent / address).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (anchor and anchor not in ids.get(target, {anchor})):
                broken.append(f"{path.relative_to(site)}: {link['href']}")
    assert broken == []


# --- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_model_page_says_what_is_known(name: str, site: Path) -> None:
    soup = soup_of(page_path(site, f"models/{name}"))
    text = soup.find("article").get_text(" ", strip=True)
    made = tree.Site()
    model = made.facts.model(name)
    card = model.card
    said = [card.name, model.timm_name, f"{card.flops:,}", f"{card.file_size:,}", f"{model.macs:,}"]
    said += [f"{model.parameters:,}", f"{card.image_size} \u00d7 {card.image_size}", "Last verified on"]
    said += [*card.architecture, *(card.training_techniques or ()), *([str(card.lr)] if card.lr else ())]
    if name in NINE:
        said += [f"{model.measured.accuracy['sketch'].top1:.2f}", "RTX 4090", "apache-2.0", "1911.09665"]
        said += ["(0.5, 0.5, 0.5)", "Mean and standard deviation are 0.5, not ImageNet's"]
    assert [each for each in said if each not in text] == []
    links = {str(link["href"]) for link in soup.select("article a[href]")}
    wanted = {card.code, model.hub} if name in NINE else set()
    assert {*wanted, model.collection.paper.address} <= links
    data = json.loads(soup.find("script", type="application/ld+json").string)
    assert (data["name"], data["alternateName"]) == (name, model.timm_name)


def test_the_collection_has_a_row_for_each_model(site: Path) -> None:
    table = soup_of(page_path(site, "models/advprop")).select_one("[data-table] table")
    assert [row.a.get_text() for row in table.select("tbody tr")] == NINE
    top1 = [float(cell["data-value"]) for cell in table.select('[data-label="ImageNet"]')]
    results = load_results().top1("ap_in1k")
    assert top1 == [results[name.split("_")[2]] for name in NINE]


def test_the_charts_show_the_measured_results(site: Path) -> None:
    accuracy, gains = soup_of(page_path(site, "models/advprop")).select("figure.drawn > svg")
    results = load_results()
    for size, top1 in results.top1("ap_in1k").items():
        assert f"{size.upper()} {top1:g}" in accuracy["aria-label"]
    shown = [tag.get_text(strip=True) for tag in gains.select("text")]
    for size, gain in results.gain("ap_in1k", over="aa_in1k", test_set="r").items():
        assert f"{gain:+.1f}".replace("-", "\u2212") in shown
        assert f"{size.upper()} {gain:g}" in gains["aria-label"]


def test_a_mismatch_is_shown_and_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Check(model=NINE[0], field="Image Size", stated=224, found=256, agrees=False)
    made = tree.Site()
    model = made.facts.model(NINE[0])
    monkeypatch.setitem(model.checks, "Image Size", wrong)
    page = made.model_page(model)
    assert "Image Size: the card states 224, the code has 256" in page
    assert "The card and the code disagree" not in made.model_page(made.facts.model(NINE[1]))


# --- notebooks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_page_shows_the_run(name: str, site: Path) -> None:
    path = page_path(site, f"notebooks/{name}")
    shown = [block.code.strip() for block in code_blocks(name, soup_of(path)) if block.language == "python"]
    notebook = json.loads((path.parent / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = [
        "".join(cell["source"]).strip()
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "remove-input" not in cell["metadata"].get("tags", [])
    ]
    assert shown == code
    stamp = notebook["metadata"]["advprop"]
    assert stamp["date"][:10] in soup_of(path).select_one(".stamp").get_text()
    assert path.stat().st_size < 100 * 1024


def test_the_gallery_has_a_card_for_each_tutorial(site: Path) -> None:
    cards = soup_of(page_path(site, "tutorials")).select(".gallery > article")
    links = [str(card.select_one(".words p a")["href"]) for card in cards]
    assert links == [f"../notebooks/{name}/" for name in NOTEBOOKS]
    drawn = [
        any("svg" in str(output) for cell in notebook_cells(site, name) for output in cell["outputs"])
        for name in NOTEBOOKS
    ]
    shown = [len(card.select(".picture svg, .picture img.drawn")) for card in cards]
    assert shown == [int(each) for each in drawn]
    assert all(card.select_one(".badge") for card in cards)


def notebook_cells(site: Path, name: str) -> list[dict[str, Any]]:
    """The code cells of a notebook as it can be downloaded."""
    path = page_path(site, f"notebooks/{name}").parent / f"{name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def write_notebook(folder: Path, *cells: object, stamped: bool = True) -> Path:
    path = folder / "one.ipynb"
    notebook = v4.new_notebook(cells=list(cells))
    if stamped:
        versions = {"python": "3.11.7", "torch": "2.15.0"}
        stamp = {"key": "0", "commit": "abc", "date": "2026-01-02T03:04:05", "device": "CPU", "seconds": 61.0}
        notebook.metadata["advprop"] = stamp | {"versions": versions, "weights": {}}
    path.write_text(v4.writes(notebook), encoding="utf-8")
    return path


def code_cell(source: str, *outputs: object, **metadata: object) -> object:
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def test_a_traceback_is_not_published(tmp_path: Path) -> None:
    cell = code_cell("1 / 0", v4.new_output("error", ename="ZeroDivisionError", evalue="division by zero"))
    with pytest.raises(notebooks.NotebookError, match=r"one\.ipynb, cell 1 ends in ZeroDivisionError"):
        notebooks.render_notebook(write_notebook(tmp_path, cell))


# --- mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("one\n\n{{ nonsense }}\n", "docs/x.md:6: 'nonsense' is undefined"),
        (
            "{% include 'predict.py' %}",
            "snippets/predict.py:11, included from docs/x.md:4: 'model_name' is undefined",
        ),
        ("one\n{% if %}\n", "docs/x.md:5: Expected an expression"),
        ("{% include 'nothing.md' %}", "docs/x.md:4: 'nothing.md' not found"),
        ("{{ facts.models[0].card.nonsense }}", "docs/x.md:4: .* has no attribute 'nonsense'"),
    ],
)
def test_a_mistake_in_a_page_is_told_with_its_line(text: str, told: str) -> None:
    env = tree.Site().env
    with pytest.raises(rendering.PageError, match=told):
        rendering.render(env, text, where="docs/x.md", first_line=4)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the site is made of, to make mistakes in."""
    return copied_checkout(tmp_path / "a checkout")


def planted(checkout: Path, name: str, old: str, new: str) -> None:
    path = checkout / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        (
            "docs/architecture.md",
            "## Wrapped",
            "{{ x }}\n## Wrapped",
            r"docs/architecture\.md:\d+: 'x' is undefined",
        ),
        (
            "docs/models/advprop.md",
            "    Epochs: 350",
            "    Epochs: many",
            r"advprop\.md:\d+:\d+: Metadata\.Epochs",
        ),
        (
            "docs/models/advprop.md",
            "- Name: tf_efficientnet_b4_ap",
            "- Name: tf_eficientnet_b4_ap",
            "tf_eficientnet_b4_ap: there is no model '.*'; did you mean tf_efficientnet_b4_ap",
        ),
        (
            "docs/models/advprop.md",
            "  Metadata:",
            "  Metadata: [",
            r"advprop\.md:\d+:\d+: is not YAML: ",
        ),
        (
            "snippets/predict.py",
            ".topk(5)",
            ".topk({{ count }})",
            r"snippets/predict\.py:\d+, included from .*: 'count' is undefined",
        ),
    ],
)
def test_a_mistake_stops_the_build(checkout: Path, name: str, old: str, new: str, told: str) -> None:
    planted(checkout, name, old, new)
    result = build(checkout, checkout / "site")
    assert result.returncode != 0
    assert re.search(told, result.stderr + result.stdout), result.stderr
    assert len(result.stderr.splitlines()) < 5


@pytest.mark.slow
def test_what_is_only_warned_of_stops_a_strict_build(checkout: Path) -> None:
    write_notebook(checkout / "notebooks", v4.new_markdown_cell("# One"), stamped=False)
    planted(checkout, "docs/models/advprop.md", "FLOPs: 883633200", "FLOPs: 883633201")
    planted(checkout, "docs/index.md", "(reference/index.md)", "(reference/none.md)")
    planted(
        checkout,
        "docs/tutorials/index.md",
        "# Tutorials",
        '# Tutorials\n<img src="https://example.org/x.png">',
    )
    told = (
        "one.ipynb has no passed run. Run it: make notebooks",
        "tf_efficientnet_b1_ap: FLOPs is 883633201 on its card and 883633200 in the code",
        "reference/none.md",
        "External file: https://example.org/x.png",
    )
    strict = build(checkout, checkout / "site", "--strict")
    assert strict.returncode != 0
    assert [each for each in told if each not in strict.stderr] == []
    lenient = build(checkout, checkout / "site")
    assert lenient.returncode == 0
    assert "has no passed run" in (checkout / "site/notebooks/one/index.html").read_text(encoding="utf-8")
    assert "code has 883,633,200" in page_path(checkout / "site", f"models/{NINE[1]}").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_a_repository_gives_links_and_no_request_to_its_host(checkout: Path) -> None:
    write_notebook(checkout / "notebooks", v4.new_markdown_cell("# One"), stamped=False)
    path = checkout / "pyproject.toml"
    setting = (
        '[tool.advprop]\nrepository = "https://github.com/owner/name"\nsite = "https://docs.example.org"\n'
    )
    text = re.sub(r"^\[tool\.advprop\]\n(.+\n)*", setting, path.read_text(encoding="utf-8"), flags=re.M)
    path.write_text(text, encoding="utf-8")
    result = build(checkout, checkout / "site")
    assert result.returncode == 0, result.stderr
    soup = soup_of(page_path(checkout / "site", "notebooks/one"))
    links = [str(link["href"]) for link in soup.select(".stamp a")]
    assert links == [
        "one.ipynb",
        "https://colab.research.google.com/github/owner/name/blob/main/notebooks/one.ipynb",
    ]
    edit = "https://github.com/owner/name/edit/main/notebooks/one.ipynb"
    assert [link["href"] for link in soup.select("a[rel=edit]")] == [edit]
    assert soup.select("a.md-source")[0]["href"] == "https://github.com/owner/name"
    assert soup.select("link[rel=canonical]")[0]["href"] == "https://docs.example.org/notebooks/one/"
    assert not soup.select("[data-md-component=source]")  # a script would ask GitHub for its stars


def test_without_a_repository_there_are_no_links_to_one(site: Path) -> None:
    for name in NOTEBOOKS:
        soup = soup_of(page_path(site, f"notebooks/{name}"))
        assert [str(link["href"]) for link in soup.select(".stamp a")] == [f"{name}.ipynb"]
        assert not soup.select("a.md-source")


def test_tutorials_lead_to_the_next_and_back(site: Path) -> None:
    for before, after in pairwise(NOTEBOOKS):
        ahead = soup_of(page_path(site, f"notebooks/{before}")).select_one("a.md-footer__link--next")
        back = soup_of(page_path(site, f"notebooks/{after}")).select_one("a.md-footer__link--prev")
        assert (ahead["href"], back["href"]) == (f"../{after}/", f"../{before}/")


def test_a_term_that_nobody_explains_is_told() -> None:
    made = tree.Site()
    del made.env.globals["glossary"]["Swish"]
    with pytest.raises(rendering.PageError, match=r"docs/templates/model_page\.md:\d+: .*'Swish'"):
        made.model_page(made.facts.model(NINE[0]))


# --- pictures -----------------------------------------------------------------------------------------


def test_the_rooms_are_those_of_the_imports() -> None:
    assert "norms" in rooms.reached("training")
    assert ("tasks", "attacks") in rooms.arrows()
    assert "norms" in rooms.used("training")
    assert ("training", "norms") not in rooms.arrows()  # it reaches them through the tasks, too
    for room in rooms.rooms():
        assert all(rooms.floor(below) < rooms.floor(room) for below in rooms.used(room))
    picture = tree.Site().env.get_template("rooms.svg").render()
    for name in rooms.files():
        assert name.endswith("__init__.py") or re.search(rf"\b{Path(name).stem}\b", picture)


def test_arrows_beside_the_rooms_do_not_run_into_each_other() -> None:
    order = sorted(rooms.rooms(), key=rooms.floor, reverse=True)
    taken: dict[int, list[range]] = {}
    boxes = rooms.boxes()
    for below in {below for _, below in rooms.arrows()}:
        first = min(order.index(above) for above, each in rooms.arrows() if each == below)
        taken.setdefault(boxes[below].x, []).append(range(first, order.index(below)))
    for arrows in taken.values():
        assert sum(map(len, arrows)) == len(set().union(*arrows))


def test_the_drawn_digit_is_read_as_the_caption_says(root: Path) -> None:
    picture = soup_of(root / "docs" / "assets" / "advprop.svg")
    images = torch.zeros(2, 1, 8, 8)
    for image, dots in zip(images, picture.select(".ink"), strict=True):
        for dot in dots.select("rect"):
            row, column = (round(float(dot[side]) - start) // 12 for side, start in (("y", 34), ("x", 20)))
            image[0, row % 15, column] = float(dot["fill-opacity"])
    network = create_model("advprop_digits.standard", pretrained=True).eval()
    with torch.no_grad():
        reads = PixelModel(network, (0.5,), (0.5,))(images).argmax(1)
    assert reads.tolist() == [5, 8]
    assert 0.2 < (images[0] - images[1]).abs().max() <= 0.26


def test_the_command_line_is_told_in_full(site: Path) -> None:
    text = page_path(site, "reference/command_line").read_text(encoding="utf-8")
    for command in ("train", "evaluate", "models", "verify"):
        assert f"usage: advprop {command}" in text


def test_white_space_goes_but_not_out_of_code_and_pictures() -> None:
    page = "<ul>\n    <li>a   b</li>\n</ul>\n<pre>c\n  <li>  d</pre>  <svg>\n  <text>e  f</text></svg>"
    assert lighten(page) == "<ul><li>a b</li></ul><pre>c\n  <li>  d</pre> <svg>\n  <text>e  f</text></svg>"
    menu = '<a class="md-nav__link"> <span class="md-ellipsis"> a b </span> </a>'
    assert lighten(menu) == '<a class="md-nav__link"><span class="md-ellipsis">a b</span></a>'
    in_a_line = '<li>a &ndash; <div class="inline">b</div> c</li>'
    assert lighten(in_a_line) == in_a_line


def test_an_empty_corner_of_a_table_is_no_head() -> None:
    assert lighten('<th align="right"></th><th>a</th>') == '<td align="right"></td><th>a</th>'


def test_line_numbers_and_the_lines_of_a_docstring_need_no_tags_of_their_own() -> None:
    lines = '<pre><span class="normal"> 1</span>\n<span class="normal"> 2</span></pre>'
    docstring = '<pre><span class="sd">"""One.</span>\n\n<span class="sd">Two."""</span></pre>'
    assert (
        lighten(lines + docstring) == '<pre> 1\n 2</pre><pre><span class="c">"""One.\n\nTwo."""</span></pre>'
    )


def test_code_has_tags_where_its_color_changes() -> None:
    f_string = '<span class="sa">f</span><span class="s2">"a</span><span class="si">{</span>'
    f_string += '<span class="n">b</span><span class="si">}</span><span class="s2"> c"</span>'
    assert lighten(f_string) == 'f<span class="s">"a{</span>b<span class="s">} c"</span>'
    assert lighten('<span class="n"><span title="torch.Tensor">T</span></span>').startswith("<span title")
    assert lighten('<span class="k">if</span>') == '<span class="k">if</span>'


def test_code_of_one_color_has_one_class() -> None:
    kinds = {"kn": "k", "mf": "m", "nn": "nf", "bp": "nb", "c1": "c", "se": "se"}  # whose name is its color's
    for kind, color in kinds.items():
        assert lighten(f'<span class="{kind}">a</span>') == f'<span class="{color}">a</span>'
    assert lighten('<p class="nn">class="nn"</p>') == '<p class="nn">class="nn"</p>'


def test_quotes_go_where_a_browser_needs_none() -> None:
    page = '<a href="../" class="a b" title=\'"c"\' data-of="x=1">a="b"</a> <img src="d"> <path d="M0"/>'
    short = '<a href=../ class="a b" title=\'"c"\' data-of="x=1">a="b"</a> <img src=d> <path d="M0"/>'
    assert unquoted(page) == short
    programs = '<script>if (a<b) c="d" </script><style>[a="b" ]</style><textarea><a b="c"></textarea>'
    assert unquoted(programs) == programs
    read, again = (BeautifulSoup(each, "html.parser") for each in (page, unquoted(page)))
    assert [each.attrs for each in read.find_all()] == [each.attrs for each in again.find_all()]


def test_the_contents_of_a_page_stand_in_it_once() -> None:
    contents = '<nav class="md-nav md-nav--secondary" aria-label="x"> <label>y</label> <ul></ul> </nav>'
    menu, beside = f"<li>{contents}</li>", f'<div class="md-sidebar--secondary"><div>{contents} </div></div>'
    kept = f'<li><nav class="md-nav md-nav--secondary" aria-label="x"></nav></li>{beside}'
    assert only_needed(menu + beside) == kept
    assert only_needed(menu) == menu  # of a page without contents beside it


def test_style_sheets_keep_what_some_page_or_script_may_use() -> None:
    known = named_in_page('<body dir=ltr data-md-color-primary="custom"><p class=a><b class="b e">')
    known |= named_in_script("element.className = `c--${kind}`; element.classList.add('d')")
    kept = (
        ".a .b:hover{x: 1}",
        ".c--any,.d{x: 1}",
        "[dir=ltr] .a{x: 1}",
        "[data-md-color-primary=custom]{x: 1}",
        "[hidden],p:not(.unknown){x: 1}",
        "@media print{.a{x: 1}}",
        "@font-face{font-family: f}",
    )
    dropped = (
        ".a .unknown{x: 1}",
        "[dir=rtl] .a{x: 1}",
        "[data-md-color-primary=red]{x: 1}",
        "@media print{.unknown{x: 1}}",
    )
    assert only_used("/* words */".join((*kept, *dropped)), known) == "".join(kept)
    assert only_used(".a, .unknown{x: 1}", known) == ".a{x: 1}"


def test_pages_load_what_they_use(site: Path) -> None:
    uses = {"_mkdocstrings.css": 'class="doc ', "assets/table.js": "data-table"}
    uses |= {"assets/calculator.js": "data-calculator", '__md_get("__tabs")': 'class="tabbed-set'}
    texts = [path.read_text(encoding="utf-8") for path in site.rglob("index.html")]
    for loaded, sign in uses.items():
        with_it = [loaded in text for text in texts]
        assert with_it == [sign in text for text in texts], loaded
        assert 0 < sum(with_it) < len(texts)


# --- for programs -------------------------------------------------------------------------------------


def test_every_page_is_there_as_markdown(site: Path) -> None:
    listed = re.findall(
        r"^- \[.+?\]\(/(\S*)\)", (site / "llms.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    pages = sorted(path.relative_to(site).with_suffix(".md").as_posix() for path in written_of(site))
    assert sorted(listed) == pages
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    for name in pages:
        text = (site / name).read_text(encoding="utf-8")
        title = soup_of(site / name.replace(".md", ".html")).select_one("article h1")
        assert title
        title.select_one("a").decompose()
        assert text.startswith(f"# {title.get_text()}\n")
        assert text.strip() in whole
        outside = re.sub(r"^(```+).*?^\1$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
        assert not re.search(r"^::: |</?(?:div|span|svg|p)\b", outside, re.MULTILINE), name


def test_pages_as_markdown_have_what_a_reader_sees(site: Path) -> None:
    def text(name: str) -> str:
        return (site / name / "index.md").read_text(encoding="utf-8")

    assert "```python\nadd_aux_norm(" in text("reference/norms")
    assert "timm alone:\n\n```python\nimport timm" in text(f"models/{NINE[0]}")
    assert "[Figure: Accuracy of each seed as a dot" in text("notebooks/04_your_images")
    assert re.search(r"^\| standard +\| \d", text("notebooks/04_your_images"), re.MULTILINE)
    assert "def make_folder(" in text("notebooks/04_your_images")


def test_sources_are_there_as_markdown(site: Path) -> None:
    text = (site / "reference" / "tasks" / "source" / "index.md").read_text(encoding="utf-8")
    assert text.startswith(
        "# Source of Training tasks\n\n## `advprop.StandardTask`\n\n`advprop/tasks/standard.py`\n"
    )
    assert "```python\ndef forward(self, input: Tensor" in text
    assert "<span" not in text


def test_pages_say_where_their_markdown_is(site: Path) -> None:
    for path in site.rglob("index.html"):
        link = soup_of(path).select_one("link[type='text/markdown']")
        assert link
        assert (path.parent / str(link["href"])).is_file()


def test_the_words_about_a_page_are_a_plain_line() -> None:
    assert in_words("See [the\nguide](x.md) **now**. Then run:") == "See the guide now."
    assert in_words("Two lines\nwith `code`.") == "Two lines with `code`."
    assert in_words("{{ jinja }} is not rendered.") == ""


# --- the policy ---------------------------------------------------------------------------------------


def test_pages_have_no_style_of_their_own_and_name_their_scripts(site: Path) -> None:
    sent = dict(read_headers(site))["Content-Security-Policy"]
    pages = sorted(site.rglob("*.html"))
    assert site / "404.html" in pages
    assert site / "models" / "advprop.html" in pages
    for path in pages:
        page = soup_of(path)
        assert page.select("style, [style]") == [], path
        meta = page.select_one("meta[http-equiv='Content-Security-Policy']")
        assert meta
        allowed = str(meta["content"]).split("script-src ")[1].split()
        assert "'unsafe-inline'" not in str(meta["content"])
        for script in page.select("script:not([src]):not([type])"):
            digest = hashlib.sha256(script.get_text().encode()).digest()
            assert f"'sha256-{base64.b64encode(digest).decode()}'" in allowed
        assert all(each in sent for each in allowed)


def test_styles_of_a_page_become_a_sheet_beside_it() -> None:
    page = '<svg style="width: 2px"/><td class="a" style=\'color: red\' id="b"><style>p {x: y}</style>'
    shown, sheet = styles_apart(page)
    assert shown == '<svg class="apart-1"/><td class="a apart-2" id="b">'
    assert sheet.splitlines() == [
        "p {x: y}",
        ".apart-1.apart-1.apart-1{width: 2px}",
        ".apart-2.apart-2.apart-2{color: red}",
    ]
    assert styles_apart("<p>style = 1</p>") == ("<p>style = 1</p>", "")
