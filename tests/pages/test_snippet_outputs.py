"""What the programs of models that come from packages print, as their pages show it."""

import re

from advprop.cards import snippet
from advprop.cards.model_index import load_model_index
from advprop.cards.snippets import snippet_names
from docs.hooks import measured

OF_PACKAGES = [card.name for card in load_model_index().models if card.collection != "AdvProp"]
PRINTED = [row for row in measured.record("snippet_outputs")["printed"] if row["model"] in OF_PACKAGES]
RENEW = "run `python -m scripts.snippet_outputs` again"


def printed(code: str) -> str:
    """What the page shows below a program of weights that a package brings."""
    return next((row["output"] for row in PRINTED if row["code"].rstrip() == code.rstrip()), "")


def alike(one: str, other: str) -> bool:
    """Whether two outputs have the same words, and numbers that differ by no more than a processor makes."""
    words, others = (re.split(r"(\d+\.\d+)", text.strip()) for text in (one, other))
    numbers = zip(words[1::2], others[1::2], strict=False)
    return words[::2] == others[::2] and all(abs(float(a) - float(b)) <= 0.3 for a, b in numbers)


def test_outputs_are_alike_in_their_words_and_nearly_in_their_numbers() -> None:
    assert alike("29.8%  palace\n", "29.6%  palace")
    assert not alike("29.8%  palace", "29.8%  daisy")
    assert not alike("29.8%  palace", "31.8%  palace")
    assert not alike("29.8%  palace", "29.8%  palace 3.0")


def test_the_programs_of_packages_have_their_outputs() -> None:
    wanted = {(name, each, snippet(each, name)) for name in OF_PACKAGES for each in snippet_names(name)}
    found = {(row["model"], row["snippet"], row["code"]) for row in PRINTED}
    assert found == wanted, RENEW
    assert all(row["output"].strip() for row in PRINTED)


def test_a_page_has_the_output_of_its_own_program_alone(monkeypatch):
    model, program = "tf_efficientnet_lite0.pypi_in1k", "photo/predict.py"
    assert "palace" in measured.printed(model, program)
    assert measured.printed("tf_efficientnet_b0_ap", "predict.py") == ""
    monkeypatch.setattr(measured, "snippet", lambda name, model: "another program")
    assert measured.printed(model, program) == ""
