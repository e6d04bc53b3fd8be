"""The model index: what is read, and every way in which a page can be wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from advprop.cards.model_card import ModelCard
from advprop.cards.model_index import ModelIndex, default_pages, load_model_index
from advprop.cards.page import ModelIndexError, Problem, strip_model_index

NINE = [f"tf_efficientnet_b{size}_ap" for size in (1, 2, 3, 4, 5, 6, 7, 8, 0)]


@pytest.fixture(scope="module")
def seed(root: Path) -> str:
    """A page with the project's own index below other prose than the project's."""
    text = (root / "docs/models/advprop.md").read_text(encoding="utf-8")
    return "# AdvProp\n\nA page.\n\n" + text[text.rindex("<!--") :]


@pytest.fixture(scope="module")
def index(seed: str) -> str:
    """The YAML of the seed, out of its comment."""
    return seed[seed.rindex("<!--\n") + 5 : seed.rindex("-->")]


def published() -> ModelIndex:
    """The index of the page as published, without other collections."""
    return load_model_index(default_pages()[0])


def write(folder: Path, text: str, name: str = "page.md") -> Path:
    page = folder / name
    page.write_text(text, encoding="utf-8")
    return page


def problems(page: Path | list[Path]) -> tuple[Problem, ...]:
    with pytest.raises(ModelIndexError) as caught:
        load_model_index(page)
    return caught.value.problems


def line_of(text: str, part: str, after: str = "") -> int:
    return text.count("\n", 0, text.index(part, text.index(after))) + 1


# What is read


def test_the_nine_cards_as_published() -> None:
    found = load_model_index()
    published = found.members("AdvProp")
    assert [card.name for card in published] == NINE
    assert [card.id for card in published] == NINE
    b1 = published[0]
    assert (b1.flops, b1.file_size, b1.epochs, b1.batch_size) == (883633200, 31515350, 350, 2048)
    assert (b1.lr, b1.weight_decay, b1.momentum, b1.rmsprop_decay) == (0.256, 1e-5, 0.9, 0.9)
    assert (b1.label_smoothing, b1.batch_norm_momentum, b1.interpolation) == (0.1, 0.99, "bicubic")
    assert b1.training_data == ("ImageNet",)
    assert b1.training_techniques[:2] == ("AdvProp", "AutoAugment")
    assert (len(b1.training_techniques), len(b1.architecture)) == (6, 9)
    assert b1.tasks == ("Image Classification",)
    assert b1.code.endswith("efficientnet.py#L1344")
    assert found.model("tf_efficientnet_b8_ap").lr == 0.128


def test_numbers_in_quotes_are_numbers() -> None:
    b1 = load_model_index().model("tf_efficientnet_b1_ap")
    assert (b1.image_size, type(b1.image_size)) == (240, int)
    assert (b1.crop_pct, type(b1.crop_pct)) == (0.882, float)


def test_the_quirks_of_the_collection_load_as_given() -> None:
    collection = load_model_index().collections[0]
    assert (collection.name, collection.type) == ("AdvProp", "model-index")
    assert collection.paper.title == "Adversarial Examples Improve Image Recognition"
    assert collection.paper.url == "https://paperswithcode.com//paper/adversarial-examples-improve-image"
    assert collection.paper.address == "https://arxiv.org/abs/1911.09665"


def test_every_value_of_the_yaml_is_in_its_card(index: str) -> None:
    """An independent reading: PyYAML's own safe loader and a walk over the labels."""
    for entry, card in zip(
        yaml.safe_load(index)["Models"], load_model_index().members("AdvProp"), strict=True
    ):
        given_fields = entry.pop("Metadata") | entry
        for field, label, *_ in ModelCard.terms():
            value = getattr(card, field)
            if label == "Parameters":
                assert value is None
                continue
            wanted = given_fields.pop(label)
            assert (list(value) if isinstance(value, tuple) else value) == type(
                list(value) if isinstance(value, tuple) else value
            )(wanted)
        assert given_fields == {}


def test_cards_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_model_index().models[0].lr = 1.0


def test_every_term_is_explained() -> None:
    terms = ModelCard.terms()
    assert terms[0].label == "Name"
    assert ("lr", "LR") in [term[:2] for term in terms]
    assert all(term.meaning for term in terms)
    assert {term.label: term.range for term in terms}["Momentum"] == "from 0 to 1"


def test_front_matter_holds_an_index_beside_the_settings_of_the_site(tmp_path: Path, index: str) -> None:
    page = write(tmp_path, f"\ufeff---\ntitle: AdvProp\nhide: [toc]\n{index}---\n\n# AdvProp\n")
    assert load_model_index(page) == published()


@pytest.mark.parametrize("change", ["\r\n", "bom", "trailing", "twin comments"])
def test_pages_as_editors_save_them(tmp_path: Path, seed: str, change: str) -> None:
    changed = {
        "\r\n": seed.replace("\n", "\r\n"),
        "bom": "\ufeff" + seed,
        "trailing": seed + "\n \n\t\n",
        "twin comments": "<!-- a note -->\n" + seed,
    }[change]
    page = tmp_path / "page.md"
    page.write_bytes(changed.encode())
    assert load_model_index(page) == published()


def test_several_pages_and_collections(tmp_path: Path, index: str) -> None:
    other = (
        index.replace("_ap", "_ra")
        .replace("Name: AdvProp", "Name: RandAugment")
        .replace("In Collection: AdvProp", "In Collection: RandAugment")
    )
    first = write(tmp_path, f"<!--\n{index}-->", "a.md")
    second = write(tmp_path, f"<!--\n{other}-->", "b.md")
    found = load_model_index([first, str(second)])
    assert [collection.name for collection in found.collections] == ["AdvProp", "RandAugment"]
    assert len(found.models) == 18
    assert [card.name for card in found.members("RandAugment")] == [n.replace("_ap", "_ra") for n in NINE]


def test_anchors_and_aliases_are_yaml_too(tmp_path: Path, seed: str) -> None:
    shared = seed.replace(
        "    Tasks:\n    - Image Classification\n", "    Tasks: &tasks\n    - Image Classification\n", 1
    )
    shared = shared.replace("    Tasks:\n    - Image Classification\n", "    Tasks: *tasks\n")
    assert "*tasks" in shared
    assert load_model_index(write(tmp_path, shared)) == published()


def test_a_hundred_models_are_quick(tmp_path: Path, index: str) -> None:
    head, rest = index.split("- Name: tf_efficientnet_b2_ap")[0], index[index.index("Collections:") :]
    entry = head.removeprefix("Models:\n")
    many = "".join(entry.replace("tf_efficientnet_b1_ap", f"model_{number}") for number in range(100))
    page = write(tmp_path, f"<!--\nModels:\n{many}{rest}-->")
    started = time.process_time()
    found = load_model_index(page)
    assert time.process_time() - started < 1
    assert [card.name for card in found.models] == [f"model_{number}" for number in range(100)]


def test_a_missing_page_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model_index(tmp_path / "none.md")


def test_a_model_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match="no card for the model 'tf_eficientnet_b4_ap'; did you mean tf_efficientnet_b4_ap"
    ):
        load_model_index().model("tf_eficientnet_b4_ap")


# What is wrong

PLANTED = {
    "negative": (
        "LR: 0.256",
        "LR: -1",
        "LR: -1",
        "Metadata.LR",
        r"must be greater than 0, got -1; give: peak",
    ),
    "zero": ("LR: 0.256", "LR: 0", "LR: 0", "Metadata.LR", "must be greater than 0, got 0"),
    "infinite": ("LR: 0.256", "LR: inf", "LR: inf", "Metadata.LR", "must be a finite number, got inf"),
    "word": ("LR: 0.256", "LR: high", "LR: high", "Metadata.LR", "must be a number, got high"),
    "truth": (
        "Epochs: 350",
        "Epochs: yes",
        "Epochs: yes",
        "Metadata.Epochs",
        "must be a whole number, got yes",
    ),
    "empty": ("Epochs: 350", "Epochs:", "Epochs:", "Metadata.Epochs", "must be a whole number, got nothing"),
    "percent": (
        "'0.882'",
        "88.2",
        "Crop Pct",
        "Metadata.Crop Pct",
        "must be less than or equal to 1, got 88.2",
    ),
    "half pixel": (
        "'240'",
        "240.5",
        "Image Size",
        "Metadata.Image Size",
        "must be a whole number, got 240.5",
    ),
    "two sides": (
        "'240'",
        "[240, 240]",
        "Image Size",
        "Metadata.Image Size",
        "must be a whole number, got a list",
    ),
    "share": ("Momentum: 0.9", "Momentum: 1.5", "Momentum", "Metadata.Momentum", "equal to 1, got 1.5"),
    "minus": ("Momentum: 0.9", "Momentum: -.1", "Momentum", "Metadata.Momentum", "equal to 0, got -.1"),
    "smoothing": (
        "Smoothing: 0.1",
        "Smoothing: 10",
        "Label Smoothing:",
        "Metadata.Label Smoothing",
        "equal to 1, got 10",
    ),
    "decay": ("1.0e-05", "-1.0e-05", "Weight Decay:", "Metadata.Weight Decay", "equal to 0, got -1.0e-05"),
    "kind": ("bicubic", "cubic", "Interpol", "Metadata.Interpolation", "'nearest' or 'lanczos', got cubic"),
    "scheme": ("Code: https", "Code: ftp", "Code", "Code", "is not of the right form, got ftp"),
    "slash": ("ID: tf_", "ID: tf/", "ID: ", "Metadata.ID", "is not of the right form, got tf/"),
    "no list": (
        "Tasks:\n    - Image Classification",
        "Tasks: Image Classification",
        "Tasks",
        "Metadata.Tasks",
        "must be a list, got Image Classification",
    ),
    "no text": (
        "- ImageNet",
        "- [ImageNet]",
        "- [ImageNet]",
        "Metadata.Training Data",
        "must be text, got a list",
    ),
    "blank": ("- ImageNet", "- ''", "- ''", "Metadata.Training Data", "must not be empty, got nothing"),
    "none": (
        "Tasks:\n    - Image Classification",
        "Tasks: []",
        "Tasks",
        "Metadata.Tasks",
        "must have an item, got a list",
    ),
    "unknown": (
        "    Epochs",
        "    Epohcs: 1\n    Epochs",
        "Epohcs",
        "Metadata.Epohcs",
        "did you mean Epochs?",
    ),
    "case": ("    Epochs", "    epochs: 1\n    Epochs", "epochs", "Metadata.epochs", "did you mean Epochs?"),
    "nothing near": (
        "    Epochs",
        "    Zzz: 1\n    Epochs",
        "Zzz",
        "Metadata.Zzz",
        "there are Name, FLOPs, Epochs",
    ),
    "twice": ("    Epochs", "    Epochs: 1\n    Epochs", "Epochs: 350", "Epochs", "is there twice; keep one"),
    "missing": (
        "    LR: 0.256\n",
        "",
        "Metadata:",
        "Metadata.LR",
        "is missing beside Training Techniques; give: peak learning rate",
    ),
    "without techniques": (
        "    Training Techniques:\n    - AdvProp\n    - AutoAugment\n    - Label Smoothing\n    - RMSProp\n"
        "    - Stochastic Depth\n    - Weight Decay\n",
        "",
        "    LR: 0.256",
        "Metadata.LR",
        "belongs to Training Techniques, which the card does not name",
    ),
    "no collection": (
        "  In Collection: AdvProp\n",
        "",
        "Name: tf_",
        "In Collection",
        "is missing; give: collection",
    ),
    "not listed": (
        "In Collection: AdvProp",
        "In Collection: Advprop",
        "In Collection",
        "In Collection",
        "Collections has no 'Advprop'; did you mean AdvProp?",
    ),
    "no metadata": (
        "  Metadata:",
        "  Metadata: 3\n  X:",
        "Name: tf_",
        "Models",
        "must have its fields under Metadata",
    ),
    "no mapping": ("Models:", "Models:\n- 3", "3\n", "Models", "must be a mapping of fields, got 3"),
    "paper": ("    title:", "    titel:", "Paper:", "Paper.title", "is missing; give: title of the paper"),
    "no type": ("\nType: model-index\n", "\n", "Models:", "Type", "is missing; give: model-index"),
    "type": (
        "\nType: model-index",
        "\nType: model",
        "Type: model\n",
        "Type",
        "must be 'model-index', got model",
    ),
    "tab": ("    Epochs", "\tEpochs", "\tEpochs", "", "is not YAML: found a tab character"),
    "indent": ("    Epochs", "  Epochs", "Batch Size:", "", "is not YAML: mapping values are not allowed"),
    "bracket": ("- ImageNet", "- [ImageNet", "Training Techniques", "", "is not YAML"),
    "bell": ("Epochs: 350", "Epochs: 350\a", "Epochs", "", "is not YAML: control characters"),
    "two documents": (
        "\nCollections:",
        "\n---\nCollections:",
        "---\nColl",
        "",
        "is not YAML: but found another",
    ),
    "anchor": ("- ImageNet", "- *nowhere", "- *nowhere", "", "is not YAML: found undefined alias"),
    "itself": (
        "Tasks:\n    - Image Classification",
        "Tasks: &t [*t]",
        "Tasks",
        "",
        "unconstructable recursive node",
    ),
    "list as key": ("- ImageNet", "- ? [a]\n      : b", "? [a]", "", "is not YAML: found unhashable key"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_told_with_line_field_and_fix(tmp_path: Path, seed: str, kind: str) -> None:
    old, new, at, field, message = PLANTED[kind]
    text = seed.replace(old, new, 1)
    assert text != seed
    found = problems(write(tmp_path, text))
    match = next(problem for problem in found if problem.field == field)
    assert message in match.message
    assert match.line == line_of(text, at, "<!--\nModels:")
    assert f":{match.line}:{match.column}: {field}" in str(match)


def test_the_message_of_an_error(tmp_path: Path, seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "\n\n" + seed.replace("LR: 0.256", "LR: -1", 1).replace(
        "RMSProp Decay: 0.9", "RMSProp Decay: 9", 1
    )
    with pytest.raises(ModelIndexError) as caught:
        load_model_index(write(tmp_path, text))
    line = line_of(text, "LR: -1")
    assert str(caught.value) == (
        f"page.md:{line}:5: Metadata.LR: must be greater than 0, got -1; "
        "give: peak learning rate for the whole batch; above 0\n"
        f"page.md:{line + 6}:5: Metadata.RMSProp Decay: must be less than or equal to 1, got 9; "
        "give: decay of the mean of squared gradients; from 0 to 1"
    )


def test_models_are_named_once(tmp_path: Path, seed: str) -> None:
    text = seed.replace("Name: tf_efficientnet_b2_ap", "Name: tf_efficientnet_b1_ap")
    (problem,) = problems(write(tmp_path, text))
    first, second = (hit.start() for hit in re.finditer("Name: tf_efficientnet_b1_ap", text))
    assert problem.line == text.count("\n", 0, second) + 1
    assert f"page.md:{text.count(chr(10), 0, first) + 1} already" in problem.message


def test_models_and_collections_are_named_once_over_all_pages(tmp_path: Path, seed: str) -> None:
    found = problems([write(tmp_path, seed, "a.md"), write(tmp_path, seed, "b.md")])
    assert len(found) == 10
    assert {Path(problem.file).name for problem in found} == {"b.md"}
    assert all("a.md" in problem.message for problem in found)


@pytest.mark.parametrize(
    "change",
    [
        lambda seed: "# A page\n",
        lambda seed: "",
        lambda seed: "# A page\n\n<!-- to do -->\n",
        lambda seed: seed.removesuffix("-->\n"),
        lambda seed: seed + "\nMore text.\n",
        lambda seed: f"```\n{seed}```\n",
    ],
)
def test_a_page_without_an_index_says_what_it_must_have(
    tmp_path: Path, seed: str, change: Callable[[str], str]
) -> None:
    (problem,) = problems(write(tmp_path, change(seed)))
    assert (problem.line, problem.column) == (1, 1)
    assert "has no model index; end the page with a comment <!-- ... -->" in problem.message


def test_a_page_has_one_index(tmp_path: Path, seed: str, index: str) -> None:
    (problem,) = problems(write(tmp_path, f"---\n{index}---\n{seed}"))
    assert "in front matter and another in a comment; keep one" in problem.message


def test_a_fault_in_front_matter_has_its_line(tmp_path: Path, index: str) -> None:
    text = f"---\ntitle: x\n{index.replace('LR: 0.256', 'LR: x', 1)}---\n"
    (problem,) = problems(write(tmp_path, text))
    assert (problem.line, problem.field) == (line_of(text, "LR: x"), "Metadata.LR")


def test_other_encodings_are_refused(tmp_path: Path, seed: str) -> None:
    page = tmp_path / "page.md"
    page.write_bytes(seed.replace("AdvProp", "ÄdvProp").encode("latin-1"))
    (problem,) = problems(page)
    assert "is not UTF-8" in problem.message


@given(
    start=st.integers(0, 14_000),
    length=st.integers(0, 40),
    put=st.text("abZ09:-[]{}&*!|>'\"%@`#?, \n\t\0é", max_size=8),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_is_read_or_told(tmp_path: Path, seed: str, start: int, length: int, put: str) -> None:
    """Whatever is typed into the index, the answer is an index or an error with a place in the page."""
    first = seed.rindex("<!--\n") + 5
    start = first + start % (len(seed) - first)
    page = write(tmp_path, seed[:start] + put + seed[start + length :])
    found: tuple[Problem, ...] = ()
    try:
        load_model_index(page)
    except ModelIndexError as error:
        found = error.problems or (Problem("", 0, 0, "", "an error without a problem"),)
    lines = page.read_text(encoding="utf-8").count("\n") + 2
    assert all(1 <= problem.line <= lines and problem.column >= 1 for problem in found)


# What reaches the HTML


def test_the_index_is_stripped_and_nothing_else(seed: str) -> None:
    assert strip_model_index(seed) == "# AdvProp\n\nA page.\n"
    assert strip_model_index("# AdvProp\n\nA page.\n") == "# AdvProp\n\nA page.\n"


@pytest.mark.parametrize(
    "page",
    ["# A page\n\n<!-- to do -->\n", "", "---\ntitle: x\nType: model-index\n---\ntext <!-- a -->, b\n"],
)
def test_other_comments_and_front_matter_stay(page: str) -> None:
    assert strip_model_index(page) == page
