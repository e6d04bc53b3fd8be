"""Models beside the EfficientNets: another optimiser, no hub, no results of timm's, small grey images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from timm.models import _registry

import advprop.cards.model_index as cards
import advprop.cards.snippets as snippets
from advprop.cards.counts import count_macs
from advprop.cards.listing import describe_card, list_cards
from advprop.cards.model_index import load_model_index
from advprop.cards.page import ModelIndexError
from advprop.cards.verification import verify
from advprop.models import create_model
from advprop.models.convnet import default_cfgs
from advprop.recipes.recipe import make_recipe
from docs.hooks import facts, rendering, tree
from docs.hooks.head import Told, structured_data
from scripts.published import Published

NAME = "advprop_convnet.small"
PAGE = """# Small

{% include 'models_table.md' %}

{% include 'small/code_snippets.md' %}
<!--
Models:
- Name: advprop_convnet.small
  Metadata:
    FLOPs: FLOPS
    Epochs: 12
    Batch Size: 20
    Training Data: [Digits]
    Training Techniques: [AdvProp, SGD with Momentum]
    Architecture: [Batch Normalization, Convolution]
    File Size: 1234
    Tasks: [Image Classification]
    ID: advprop_convnet.small
    LR: 0.1
    Crop Pct: 1.0
    Momentum: 0.9
    Image Size: 8
    Interpolation: bicubic
    BatchNorm Momentum: 0.9
    Parameters: PARAMETERS
  Code: advprop/models/convnet.py
  In Collection: Small
Collections:
- Name: Small
  Paper:
    title: A paper of its own
    url: https://arxiv.org/abs/0000.00000
Type: model-index
-->
"""


@pytest.fixture
def small(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's pages and one more, of a model whose weights are a file on this machine."""
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(bytes(1234))
    config = replace(
        default_cfgs["advprop_convnet"].default, file=str(weights), architecture="advprop_convnet"
    )
    monkeypatch.setitem(_registry._model_pretrained_cfgs, NAME, config)
    monkeypatch.setitem(_registry._model_with_tags, "advprop_convnet", ["advprop_convnet", NAME])
    model = create_model("advprop_convnet")
    page = tmp_path / "small.md"
    counted = PAGE.replace("FLOPS", str(2 * count_macs(model, 8, 8)))
    parameters = sum(each.numel() for each in model.parameters())
    page.write_text(counted.replace("PARAMETERS", str(parameters)), encoding="utf-8")
    pages = (*cards.default_pages(), page)
    for module in (cards, facts):
        monkeypatch.setattr(module, "default_pages", lambda: pages)
    monkeypatch.setattr(facts, "RECORDS", tmp_path / "records")
    programs = tmp_path / "snippets"
    (programs / "small").mkdir(parents=True)
    (programs / "small" / "predict.py").write_text('name = "{{ model_name }}"\n')
    (programs / "small" / "code_snippets.md").write_text("```python\n{% include 'small/predict.py' %}\n```\n")
    (programs / "code_snippets.md").write_text("the others' programs\n")
    monkeypatch.setattr(snippets, "package_folder", lambda name: programs)
    monkeypatch.setattr(rendering, "TEMPLATES", (programs, rendering.TEMPLATES[1]))
    return page


def test_a_card_has_what_its_techniques_have(small: Path) -> None:
    card = load_model_index().model(NAME)
    assert (card.rmsprop_decay, card.label_smoothing, card.weight_decay) == (None, None, None)
    assert card.momentum == 0.9
    text = describe_card(card, load_model_index())
    assert "RMSProp" not in text
    assert "A paper of its own" in text
    assert re.search(rf"{NAME} .* 31 k +-$", list_cards(load_model_index()), re.MULTILINE)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("    Momentum: 0.9\n", "", "Metadata.Momentum: is missing beside SGD with Momentum; give: momentum"),
        ("Batch Normalization, ", "", "BatchNorm Momentum: belongs to Batch Normalization, which the card"),
        ("SGD with Momentum", "RMSProp", "Metadata.RMSProp Decay: is missing beside RMSProp; give: decay"),
        (
            "    LR: 0.1\n",
            "    LR: 0.1\n    Label Smoothing: 0.1\n",
            "Smoothing: belongs to Label Smoothing, which",
        ),
        ("advprop/models/convnet.py", "../convnet.py", "Code: is not of the right form, got ../convnet.py"),
    ],
)
def test_a_field_that_does_not_go_with_the_techniques_is_told(
    small: Path, old: str, new: str, told: str
) -> None:
    text = small.read_text(encoding="utf-8")
    assert old in text
    small.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelIndexError, match=re.escape(told)) as caught:
        load_model_index()
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    "field", ["Momentum", "Weight Decay", "RMSProp Decay", "Label Smoothing", "BatchNorm Momentum"]
)
def test_the_efficientnets_must_have_theirs(root: Path, tmp_path: Path, field: str) -> None:
    text = (root / "docs/models/advprop.md").read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(re.sub(rf"    {field}: .*\n", "", text, count=1), encoding="utf-8")
    with pytest.raises(ModelIndexError, match=rf"Metadata\.{field}: is missing beside "):
        load_model_index(page)


def test_verification_compares_what_there_is(small: Path) -> None:
    checks = verify(models=[NAME]).of(NAME)
    assert {field: check.status for field, check in checks.items() if check.status != "agrees"} == {
        "MACs": "found",
        "Mean": "found",
        "Std": "found",
        "BatchNorm Momentum": "explained",
    }
    assert checks["FLOPs"].explanation.startswith("Twice the multiply-accumulates")
    assert (checks["File Size"].stated, checks["File Size"].found) == (1234, 1234)
    small.write_text(small.read_text().replace("File Size: 1234", "File Size: 1235"))
    assert [check.field for check in verify(models=[NAME]).failures] == ["File Size"]


def test_the_site_has_its_pages(small: Path) -> None:
    site = tree.Site()
    site.env.globals["glossary"] |= {"SGD with Momentum": "the optimiser", "Digits": "small and grey"}
    assert site.collection_pages()[-2:] == ["models/small.md", f"models/{NAME}.md"]
    assert site.collection_pages()[0] == "models/advprop.md"
    source = small.read_text(encoding="utf-8")
    collection = site.written_page("models/small.md", source, source)
    assert f'<a href="../{NAME}/">' in collection
    assert ">31 k</td>" in collection
    assert "1 model, smallest" in collection
    assert "not measured" not in collection
    page = site.model_page(site.facts.model(NAME))
    wanted = [f'name = "{NAME}"', "[Small models](small.md)", "Its weights come with the package", "(0.0,)"]
    unwanted = ["huggingface", "EfficientNet", "ImageNet", "RMSProp", "RTX", "None", "BibTeX", "the others'"]
    assert [each for each in wanted if each not in page] == []
    assert [each for each in unwanted if each in page] == []
    assert "the others' programs" in site.model_page(site.facts.models[-1])
    told = Told(site.facts.model(NAME).path, NAME, "", "", "", "AdvProp")
    data = structured_data(told, site.facts, Published("0.1.0"))
    assert "0000.00000" in data["citation"]["url"]
    assert "sameAs" not in data


def test_its_programs_and_its_recipe(small: Path) -> None:
    assert snippets.snippet("predict", NAME) == f'name = "{NAME}"\n'
    with pytest.raises(ValueError, match="there is no snippet 'export'; there are predict"):
        snippets.snippet("export", NAME)
    recipe = make_recipe(f"card:{NAME}", data="digits")
    assert (recipe.model, recipe.opt, recipe.lr, recipe.scaled_lr) == (NAME, "sgd", 0.1, 0.1)
    assert (recipe.epochs, recipe.bn_momentum, recipe.opt_args) == (12, 0.1, {})
    assert (recipe.weight_decay, recipe.label_smoothing) == (0.0, 0.0)
