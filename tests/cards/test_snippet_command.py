"""Snippets as text: the ones that the model pages show, for a model that has a card."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from advprop.cards.model_index import load_model_index
from advprop.cards.snippets import snippet, snippet_names, snippets_of
from advprop.models import current_name

MODELS = [card.name for card in load_model_index().members("AdvProp")]
FIRST = [
    next(card.name for card in load_model_index().members(each.name))
    for each in load_model_index().collections
]
PROGRAMS = [(name, each) for each in FIRST for name in snippet_names(each)]


def test_every_file_is_a_snippet(root: Path) -> None:
    assert set(snippet_names(FIRST[0])) == {path.stem for path in (root / "snippets").glob("*.py")}
    shown = {root / "snippets" / snippets_of(each.name) for each in load_model_index().collections}
    assert {path.parent for path in (root / "snippets").rglob("*.py")} == shown
    assert {"predict", "features", "finetune", "train", "attack", "export"} <= set(snippet_names(FIRST[0]))


@pytest.mark.parametrize(
    ("name", "model"), [*PROGRAMS, *((name, current_name(FIRST[0])) for name in snippet_names(FIRST[0]))]
)
def test_each_is_a_program_for_the_model(name: str, model: str) -> None:
    program = snippet(name, model)
    ast.parse(program)
    assert "{{" not in program
    if name != "quickstart":
        wanted = current_name(model) if name.endswith("_timm") else model
        assert f'"{wanted}"' in program


def test_mistakes_are_told_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no snippet 'predit'; did you mean '?predict"):
        snippet("predit", MODELS[0])
    with pytest.raises(ValueError, match=r"no card for the model 'tf_efficientnet_b9_ap'; did you mean"):
        snippet("predict", "tf_efficientnet_b9_ap")
