"""The checks of the model index against the models: all nine agree, and what is planted is found."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from advprop.cards import model_index, verification
from advprop.cards.counts import count_index_flops, count_macs
from advprop.cards.listing import describe_card, format_verification, list_cards
from advprop.cards.model_index import ModelIndex, load_model_index, recorded_names
from advprop.cards.verification import Verification, load_verification, verify
from advprop.cli.main import main
from advprop.models import create_model
from advprop.runtime import format_table

NAMES = [card.name for card in load_model_index().members("AdvProp")]
B0 = "tf_efficientnet_b0_ap"
FIELDS = [
    "Name",
    "ID",
    "Image Size",
    "Crop Pct",
    "Interpolation",
    "Mean",
    "Std",
    "Parameters",
    "Parameters, M",
    "FLOPs",
    "MACs",
    "File Size",
    "BatchNorm Momentum",
]
# Counted once with torch 2.15 and timm 1.0.31, apart from this code.
MACS = {
    "b0": 385_814_752,
    "b1": 686_802_832,
    "b2": 993_561_872,
    "b3": 1_827_141_392,
    "b4": 4_393_771_024,
    "b5": 10_266_384_752,
    "b6": 19_067_593_536,
    "b7": 37_745_884_192,
    "b8": 62_597_461_568,
}
PARAMETERS = {
    "b0": 5_288_548,
    "b1": 7_794_184,
    "b2": 9_109_994,
    "b3": 12_233_232,
    "b4": 19_341_616,
    "b5": 30_389_784,
    "b6": 43_040_704,
    "b7": 66_347_960,
    "b8": 87_413_142,
}


@pytest.fixture(scope="module")
def nine() -> Verification:
    return verify(models=NAMES)


def planted(**changes: object) -> ModelIndex:
    """The index of b0 alone, with other values."""
    index = load_model_index()
    return ModelIndex((index.model(B0).model_copy(update=changes),), index.collections)


# The nine


def test_all_nine_agree_or_are_explained(nine: Verification) -> None:
    assert [(check.model, check.field) for check in nine.checks] == [
        (name, field) for name in NAMES for field in FIELDS
    ]
    assert nine.failures == ()
    others = {(check.field, check.status) for check in nine.checks if check.status != "agrees"}
    assert others == {("Parameters", "found"), ("MACs", "found"), ("BatchNorm Momentum", "explained")}


@pytest.mark.parametrize("size", MACS)
def test_counts(nine: Verification, size: str) -> None:
    name = f"tf_efficientnet_{size}_ap"
    card, checks = load_model_index().model(name), nine.of(name)
    assert (checks["Parameters"].stated, checks["Parameters"].found) == (None, PARAMETERS[size])
    assert checks["MACs"].found == MACS[size]
    assert checks["FLOPs"].stated == checks["FLOPs"].found == card.flops
    # The tensors, and 175 to 180 bytes for each that say what it is.
    with torch.device("meta"):
        tensors = len(create_model(name).state_dict())
    assert 175 < (card.file_size - checks["File Size"].found) / tensors < 180
    assert checks["Name"].found == f"tf_efficientnet_{size}.ap_in1k"
    assert checks["Mean"].found == checks["Std"].found == (0.5, 0.5, 0.5)


def test_what_needs_an_explanation_has_one(nine: Verification) -> None:
    checks = nine.of(B0)
    assert "uncropped" in checks["FLOPs"].explanation
    assert "1546/1213" in checks["FLOPs"].explanation
    assert "input size" in checks["MACs"].explanation
    assert "TensorFlow's convention" in checks["BatchNorm Momentum"].explanation
    assert checks["Crop Pct"].explanation == ""


def test_a_model_is_verified_in_seconds_whatever_its_size() -> None:
    started = time.process_time()
    assert verify(models=["tf_efficientnet_b8_ap"]).failures == ()
    assert time.process_time() - started < 10


# What is planted


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"flops": 488_688_573}, "FLOPs"),
        ({"file_size": 21_172_113}, "File Size"),
        ({"file_size": 21_599_833}, "File Size"),
        ({"image_size": 240}, "Image Size"),
        ({"crop_pct": 0.882}, "Crop Pct"),
        ({"interpolation": "bilinear"}, "Interpolation"),
        ({"id": "tf_efficientnet_b1_ap"}, "ID"),
        ({"parameters": 5_288_549}, "Parameters"),
        ({"batch_norm_momentum": 0.9}, "BatchNorm Momentum"),
    ],
)
def test_a_wrong_value_is_found_alone(change: dict[str, object], field: str) -> None:
    verification = verify(planted(**change))
    (wrong,) = verification.failures
    assert (wrong.model, wrong.field, wrong.stated) == (B0, field, next(iter(change.values())))
    assert wrong.found != wrong.stated
    assert wrong.explanation == ""


def test_a_right_number_of_parameters_agrees() -> None:
    assert verify(planted(parameters=5_288_548)).of(B0)["Parameters"].status == "agrees"


def test_a_name_that_timm_does_not_know_is_told_with_the_nearest() -> None:
    (check,) = verify(planted(name="tf_eficientnet_b0_ap")).checks
    assert (check.field, check.status) == ("Name", "MISMATCH")
    assert "did you mean tf_efficientnet_b0_ap" in str(check.found)


def test_another_models_name_is_found_by_its_numbers() -> None:
    wrong = {check.field for check in verify(planted(name="tf_efficientnet_b1_ap")).failures}
    assert wrong == {"ID", "Image Size", "Crop Pct", "FLOPs", "File Size"}


def test_weights_trained_with_other_statistics_are_found() -> None:
    """The same network by AutoAugment's name: only the normalisation of images tells them apart."""
    wrong = {check.field for check in verify(planted(name="tf_efficientnet_b0.aa_in1k", id=B0)).failures}
    assert wrong == {"ID", "Mean", "Std"}


def test_models_of_other_collections_and_families_are_counted() -> None:
    checks = verify(planted(name="test_convnext", id="test_convnext", collection="Other")).of("test_convnext")
    assert (checks["Mean"].stated, checks["Mean"].status) == (None, "found")
    assert checks["BatchNorm Momentum"].found is None
    assert checks["FLOPs"].status == "MISMATCH"
    assert "Parameters, M" not in checks


def test_chosen_models_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    verification = verify(models=[B0], progress=True)
    assert "verifying: " in capsys.readouterr().err
    assert {check.model for check in verification.checks} == {B0}
    with pytest.raises(ValueError, match="did you mean tf_efficientnet_b0_ap"):
        verify(models=["tf_efficientnet_b0"])


# The command


@pytest.fixture
def page_with(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put another text in the place of one in the project's index."""

    def write(old: str, new: str) -> None:
        text = (root / "docs/models/advprop.md").read_text(encoding="utf-8")
        comment = text[text.rindex("<!--") :]
        assert old in comment
        page = tmp_path / "advprop.md"
        page.write_text(comment.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(model_index, "default_pages", lambda: [page])

    return write


def test_the_command_writes_a_table_and_keeps_a_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "records" / "verified.json"
    assert main(["verify", B0, "--json", str(record)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[1] == B0
    assert re.search(r"^  FLOPs +488,688,572 +488,688,572  agrees \[\d\]$", text, re.MULTILINE)
    assert re.search(r"^  File Size +21,385,973 +21,322,648  agrees \[\d\]$", text, re.MULTILINE)
    assert re.search(r"^  BatchNorm Momentum +0.99 +0.1  explained \[\d\]$", text, re.MULTILINE)
    assert lines[-3:-1] == [
        "13 checks: 10 agree, 2 found where the index states nothing,",
        "1 explained, 0 MISMATCH",
    ]
    kept = load_verification(record)
    assert format_verification(kept) + "\n" == text
    assert kept.versions["timm"] == timm.__version__
    assert kept.versions["torch"] == torch.__version__.partition("+")[0]
    assert set(json.loads(record.read_text())) == {"date", "commit", "versions", "checks"}
    assert kept.date.utcoffset() is not None
    assert kept.commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", kept.commit)


def test_notes_are_numbered_and_each_is_given_once(nine: Verification) -> None:
    text = format_verification(nine)
    used = set(re.findall(r"\[(\d)\]$", text, re.MULTILINE))
    given = re.findall(r"^\[(\d)\] ", text, re.MULTILINE)
    assert given == sorted(used)
    assert len(given) == len(set(given)) == 7


def test_the_command_fails_on_a_wrong_number(
    page_with: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    page_with("488688572", "488688571")
    assert main(["verify", B0]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^  FLOPs +488,688,571 +488,688,572  MISMATCH$", text, re.MULTILINE)
    assert f"{B0}: FLOPs is 488,688,571 in the index; found: 488,688,572" in text
    assert "1 MISMATCH" in text


def test_the_command_fails_on_a_wrong_name(
    page_with: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    page_with("Name: tf_efficientnet_b0_ap", "Name: tf_eficientnet_b0_ap")
    assert main(["verify", "tf_eficientnet_b0_ap"]) == 1
    told = "found: there is no model 'tf_eficientnet_b0_ap'; did you mean tf_efficientnet_b0_ap"
    assert told in capsys.readouterr().out


def test_the_command_fails_on_a_wrong_record_of_timms_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = recorded_names() | {B0: "tf_efficientnet_b0.aa_in1k"}
    monkeypatch.setattr(verification, "recorded_names", lambda: wrong)
    assert main(["verify", B0]) == 1
    told = f"{B0}: Name is tf_efficientnet_b0.aa_in1k in the index; found: tf_efficientnet_b0.ap_in1k"
    assert told in capsys.readouterr().out


def test_the_command_fails_on_a_page_that_cannot_be_read(
    page_with: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    page_with("LR: 0.128", "LR: fast")
    assert main(["verify"]) == 1
    told = capsys.readouterr().out
    assert re.fullmatch(r"\S+advprop.md:\d+:5: Metadata.LR: must be a number, got fast; give: .+\n", told)


# The counting


def test_macs_are_half_of_what_a_convolution_multiplies_and_adds() -> None:
    convolution = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, device="meta")
    convolution.in_chans = 4
    assert count_macs(convolution, 8, 12) == 4 * 6 * 6 * (2 * 9)


def test_flops_of_the_index_term_by_term() -> None:
    class Padded(nn.Conv2d):
        """As timm's TensorFlow convolutions: a subclass, which the definition misses."""

    model = nn.Sequential(
        Padded(3, 4, 3),  # [1, 4, 4, 6] of 6 x 8: not counted
        nn.BatchNorm2d(4),  # 2 x 4 x 24
        nn.Conv2d(4, 5, 1, bias=False),  # 24 x 5 x 4
        nn.Conv2d(5, 6, 3),  # [1, 6, 2, 4]: 48 x (45 + 1)
        nn.AdaptiveAvgPool2d(1),  # (8 + 1) x 6
        nn.Flatten(),
        nn.Linear(6, 10),  # not counted
    ).to("meta")
    assert count_index_flops(model, 6, 8) == 192 + 480 + 2208 + 54
    assert all(not module._forward_hooks for module in model.modules())


# Listing


def test_the_list_has_every_model_by_size() -> None:
    index = load_model_index()
    lines = list_cards(ModelIndex(index.members("AdvProp"), index.collections)).splitlines()
    assert [line.split()[0] for line in lines[1:-3]] == [f"tf_efficientnet_b{size}_ap" for size in range(9)]
    assert lines[1].split() == [B0, "tf_efficientnet_b0.ap_in1k", "224", "21.4", "5.3", "M", "77.10"]
    assert lines[-3] == ""
    assert lines[-2].startswith("px: ")
    assert max(map(len, lines)) < 80


def test_the_list_shows_what_timm_does_not_have() -> None:
    line = list_cards(planted(name="someones_own")).splitlines()[1]
    assert re.split(r"  +", line)[:2] == ["someones_own", "not in timm"]
    assert line.split()[-2:] == ["-", "-"]


def test_a_card_is_found_by_both_names() -> None:
    index = load_model_index()
    assert index.model("tf_efficientnet_b0.ap_in1k") is index.model(B0)
    with pytest.raises(ValueError, match=r"no card for the model 'tf_eficientnet_b4_ap'; did you mean tf_e"):
        index.model("tf_eficientnet_b4_ap")
    with pytest.raises(ValueError, match=r"did you mean tf_efficientnet_b0\.ap_in1k"):
        index.model("tf_efficientnet_b0.ap_in21k")
    assert set(verify(models=["tf_efficientnet_b0.ap_in1k"]).checks[0].model.split()) == {B0}


def test_a_description_has_every_field_and_the_paper() -> None:
    index = load_model_index()
    text = describe_card(index.model("tf_efficientnet_b8_ap"), index, width=90)
    assert re.search(r"^LR +0\.128 \(peak learning rate", text, re.MULTILINE)
    assert re.search(r"^FLOPs +80,962,956,270 ", text, re.MULTILINE)
    assert "tf_efficientnet_b8.ap_in1k" in text
    assert "Adversarial Examples Improve Image Recognition" in text
    assert re.search(r"^parameters +87\.4 M ", text, re.MULTILINE)
    assert "https://arxiv.org/abs/1911.09665" in text
    assert all(len(line) <= 90 or "https://" in line for line in text.splitlines())


def test_columns_are_aligned() -> None:
    assert format_table(("a", "b"), [("xx", "1"), ("y", "22")], right={1}) == "a    b\nxx   1\ny   22"


def test_a_description_says_what_the_index_leaves_out() -> None:
    """Mean and std, the commonest mistake, and that the paper's address is dead."""
    index = load_model_index()
    told = describe_card(index.model("tf_efficientnet_b0_ap"), index)
    assert "(0.5, 0.5, 0.5), (0.5, 0.5, 0.5)" in told
    assert "77.10 %" in told
    assert "has shut down" in told
