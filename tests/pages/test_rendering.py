"""What is included stays where it stands, and a second build is a new one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
from mkdocs.config import load_config
from mkdocs.structure.files import Files
from nbformat import v4

from docs.hooks import rendering, tree
from docs.hooks.rendering import PageError, environment, render
from tests.site_tools import ROOT, copied_checkout, page_path, soup_of

# --- what is included ---------------------------------------------------------------------------------

FILES = {
    "program.py": 'for x in y:\n    print("""a\n\nb""")\n',
    "list.md": "- first:\n\n    {% include 'program.py' %}\n- last\n",
}


def rendered(text: str, **names: object) -> str:
    env = environment()
    env.loader = jinja2.DictLoader(FILES)
    return render(env, text, where="docs/x.md", first_line=4, **names)


def indented(text: str, space: str = "    ") -> str:
    return "".join(space + line if line.strip() else line for line in text.splitlines(keepends=True))


PROGRAM = FILES["program.py"]


@pytest.mark.parametrize(
    ("tag", "names"),
    [
        ("{% include 'program.py' %}", {}),
        ('{%include "program.py"%}', {}),
        ("{% include x ~ '.py' %}", {"x": "program"}),
        ("{% include x ~ '.py' with context %}", {"x": "program"}),
        ("{% include ['none.py', 'program.py'] ignore missing %}", {}),
        ("{%+ include 'program.py' %}", {}),
    ],
)
@pytest.mark.parametrize("space", ["    ", "  ", "\t"])
def test_all_lines_of_an_include_are_indented(tag: str, names: dict[str, object], space: str) -> None:
    before, after = f"{space}```python\n", f"{space}```\n\nwords\n"
    assert rendered(before + space + tag + "\n" + after, **names) == before + indented(PROGRAM, space) + after


def test_an_include_at_the_start_of_a_line_is_as_it_was() -> None:
    assert rendered("```\n{% include 'program.py' %}\n```\n") == f"```\n{PROGRAM}```\n"


def test_an_include_in_a_loop_sees_its_names() -> None:
    loop = "{% for name in names %}\n    {% include name ~ '.py' %}\n    end {{ loop.index }}\n{% endfor %}\n"
    once = indented(PROGRAM)
    assert rendered(loop, names=["program"] * 2) == f"{once}    end 1\n{once}    end 2\n"


def test_what_an_included_file_includes_is_indented_twice() -> None:
    program = indented(PROGRAM, 6 * " ")
    assert rendered("  {% include 'list.md' %}\n") == f"  - first:\n\n{program}  - last\n"


def test_what_jinja_does_not_read_stays_as_it_is() -> None:
    tag = "    {% include 'program.py' %}\n"
    assert rendered("{% raw %}" + tag + "{% endraw %}") == tag
    assert rendered("{#\n" + tag + "#}\n") == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("    {{ x | indent }}\n", "    a\n\n    b\n"),
        ("    {{ 5 }}\n", "    5\n"),
        ("{{ x }}\n", "a\n\nb\n"),
        ("    is {{ x }}\n", "    is a\n\nb\n"),
    ],
)
def test_a_value_of_many_lines_is_indented_by_its_filter(text: str, shown: str) -> None:
    assert rendered(text, x="a\n\nb") == shown


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("{% include 'nothing.py' %}", "docs/x.md:6: nothing.py"),
        ("{% include nothing %}", "docs/x.md:6: 'nothing' is undefined"),
        ("{% include %}", "docs/x.md:6: "),
        ("{{ nothing }}", "docs/x.md:6: 'nothing' is undefined"),
        ("{% include 'program.py' %}\n    {{ nothing }}", "docs/x.md:7: 'nothing' is undefined"),
    ],
)
def test_a_mistake_on_an_indented_line_is_told_with_its_line(tag: str, told: str) -> None:
    with pytest.raises(PageError) as caught:
        rendered(f"!!! note\n\n    {tag}\n")
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("x = 1\ny = {{ nonsense }}\n", r":2, included from docs/x\.md:2: 'nonsense' is undefined$"),
        ("x = 1\n{% if %}\n", ":2: Expected an expression"),
    ],
)
def test_a_mistake_in_an_included_file_is_told_with_its_line(
    program: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "TEMPLATES", (tmp_path,))
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    with pytest.raises(PageError, match=re.escape(str(path)) + told):
        render(environment(), "!!! note\n    {% include 'program.py' %}\n", where="docs/x.md")


# --- a second build -----------------------------------------------------------------------------------

# Builds, changes files, builds again; prints what was watched, and which files of the checkout were opened.
TWICE = """
import json, sys
from pathlib import Path
from mkdocs.commands.build import build
from mkdocs.config import load_config

opened = set()
root = Path.cwd()

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[1] in ("r", "rb"):
        opened.add(arguments[0])

config = load_config("mkdocs.yml", site_dir="site/1")
sys.addaudithook(note)
build(config)
used = [path for each in opened if (path := root / each).is_relative_to(root)]
watched = [*config.watch, config.docs_dir, config.config_file_path]
for name, old, new in json.loads(sys.argv[1]):
    text = Path(name).read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old}"
    Path(name).write_text(text.replace(old, new, 1), encoding="utf-8")
build(load_config("mkdocs.yml", site_dir="site/2"))
print(json.dumps([watched, sorted({path.relative_to(root).as_posix() for path in used})]))
"""
# What is changed between the builds, and the page that has to show it.
CHANGES = [
    ("advprop/norms/find.py", '"""', '"""new-of-a-file. ', "architecture"),
    ("advprop/data_files/advprop_digits.json", '"torch": "', '"torch": "new-of-data-', "models/digits"),
    ("CHANGELOG.md", "# Changelog", "# Changelog\n\nnew-of-changes.", "changelog"),
    ("docs/guides/index.md", "# ", "# new-of-a-page ", "guides"),
    ("docs/measured/benchmark.json", '"device": "', '"device": "new-of-a-measurement-', "cost"),
    ("docs/models/digits.md", "# ", "# new-of-a-model-page ", "models/digits"),
    ("docs/templates/citation.bib", "title", "note = {new-of-a-citation},\n  title", "models/advprop"),
    ("docs/templates/glossary.yaml", "Swish:", "Swish: new-of-a-glossary", "models/tf_efficientnet_b0_ap"),
    ("docs/templates/models_table.md", "<caption>", "<caption>new-of-a-template ", "models/advprop"),
    ("snippets/quickstart.py", "import", "# new-of-a-snippet\nimport", "."),
]
# Not what pages are made of: the record that a build keeps for itself, the site, compiled code.
OWN = (".cache/verification/", "site/")


@pytest.mark.slow
def test_a_second_build_reads_everything_anew_and_all_of_it_is_watched(tmp_path: Path) -> None:
    checkout = copied_checkout(tmp_path / "a checkout")
    notebook = v4.writes(v4.new_notebook(cells=[v4.new_markdown_cell("# One")]))
    for folder in ("notebooks", ".cache/notebooks"):
        (checkout / folder).mkdir(exist_ok=True)
        (checkout / folder / "one.ipynb").write_text(notebook, encoding="utf-8")
    changes = json.dumps([change[:3] for change in CHANGES])
    result = subprocess.run(
        [sys.executable, "-c", TWICE, changes],
        cwd=checkout,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "advprop/ has changed" in result.stderr  # and this process runs the old code
    for name, _, new, page in CHANGES:
        word = re.search(r"new-of[\w-]+", new)[0]
        first, second = (soup_of(page_path(checkout / "site" / turn, page)).get_text() for turn in "12")
        assert word not in first
        assert word in second, f"{page} is made of an old {name}"
    watched, opened = json.loads(result.stdout)
    used = [name for name in opened if not name.startswith(OWN) and "__pycache__" not in name]
    assert {name for name, *_ in CHANGES} | {"notebooks/one.ipynb", ".cache/notebooks/one.ipynb"} <= {*used}
    folders = [Path(path) for path in watched]
    assert [
        name for name in used if not any((checkout / name).is_relative_to(path) for path in folders)
    ] == []


def test_served_pages_are_built_again_if_they_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path))
    [hook] = config.hooks.values()
    monkeypatch.setattr(hook, "_watched", False)  # after this test, too
    config.plugins.on_startup(command="serve", dirty=True)
    config = config.plugins.on_config(config)

    def to_build() -> set[str]:
        pages = [each for each in config.plugins.on_files(Files([]), config=config) if each.generated_by]
        assert len(pages) > 20
        return {each.src_uri for each in pages if each.is_modified()}

    assert {"models/tf_efficientnet_b0_ap.md", "models/advprop.html"} < to_build()
    assert to_build() == set()
    page, edited = tree.Site.model_page, {"tf_efficientnet_b0_ap": "\nNew."}
    monkeypatch.setattr(
        tree.Site, "model_page", lambda site, model: page(site, model) + edited.get(model.name, "")
    )
    assert to_build() == {"models/tf_efficientnet_b0_ap.md"}
