"""Compare what the model index says of each model with the model itself, as timm builds it.

Models are built on the meta device: no weight is made or downloaded. A difference is a failure unless
`data_files/verification.yaml` explains it for exactly the two values.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import yaml
from pydantic import BaseModel, ConfigDict
from torch import nn

from advprop.cards.counts import count_index_bytes, count_index_flops, count_macs, count_parameters
from advprop.cards.listing import find_card, show
from advprop.cards.model_index import ModelCard, ModelIndex, load_model_index
from advprop.cards.page import ModelIndexError
from advprop.cards.timm_names import recorded_names
from advprop.cards.timm_results import load_results
from advprop.models import create_model, current_name, data_config
from advprop.runtime import checkout, format_table, package_folder

_PACKAGES = ("advprop", "torch", "timm")

Value = str | int | float | tuple[float, ...] | None


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Record):
    """One field of one model: what the index states (`None`: nothing), and what was found."""

    model: str
    field: str
    stated: Value
    found: Value
    agrees: bool
    explanation: str = ""

    @property
    def status(self) -> Literal["agrees", "found", "explained", "MISMATCH"]:
        """`found` where the index states nothing, `explained` where a difference has a known reason."""
        if self.agrees:
            return "found" if self.stated is None else "agrees"
        return "explained" if self.explanation else "MISMATCH"


class Verification(_Record):
    """The checks of a run, with when and what it ran with; `model_dump_json` and `load_verification` keep it.

    Attributes:
        date: Day and time in UTC.
        commit: Of the checkout that ran, with `-dirty` where files differed from it; `None` if installed.
        versions: Of Python and the packages that took part.
    """

    date: datetime
    commit: str | None
    versions: dict[str, str]
    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """Differences that nothing explains."""
        return tuple(check for check in self.checks if check.status == "MISMATCH")

    def of(self, model: str) -> dict[str, Check]:
        """The checks of one model by field."""
        return {check.field: check for check in self.checks if check.model == model}


class _Explained(_Record):
    field: str
    stated: Value
    found: Value
    explanation: str


class _Conventions(_Record):
    """What holds for the models of a collection: `data_files/verification.yaml`."""

    definitions: dict[str, str]
    normalisation: tuple[float, float] | None = None
    flops_aspect: tuple[int, int] | None = None
    old_checkpoints: bool = False
    explained: tuple[_Explained, ...] = ()

    def explanation(self, field: str, stated: Value, found: Value, agrees: bool) -> str:
        """By what definition two values agree, or the known reason why they do not; empty without one."""
        if agrees:
            return self.definitions.get(field, "")
        reasons = {(each.field, each.stated, each.found): each.explanation for each in self.explained}
        return reasons.get((field, stated, found), "")


def _conventions(collection: str) -> _Conventions:
    """What holds for all models, and what the collection has in its place."""
    known = yaml.safe_load((package_folder("data_files") / "verification.yaml").read_text(encoding="utf-8"))
    own = known["collections"].get(collection, {})
    definitions = known["all"]["definitions"] | own.get("definitions", {})
    return _Conventions.model_validate(known["all"] | own | {"definitions": definitions})


def verify(
    index: ModelIndex | None = None,
    models: Iterable[str] | None = None,
    progress: Callable[[str], object] | None = None,
) -> Verification:
    """Check models of the index against timm's configuration and against what is counted.

    Args:
        index: A model index; by default the project's.
        models: Names of the models to check, all by default.
        progress: Called with the name of each model before it is checked.

    Raises:
        ValueError: If the index has no such model.

    Examples:
        >>> from advprop.cards.verification import verify
        >>> verify(models=["tf_efficientnet_b0_ap"]).of("tf_efficientnet_b0_ap")["FLOPs"].status
        'agrees'
    """
    index = index or load_model_index()
    cards = index.models if models is None else [find_card(index, name) for name in models]
    checks: list[Check] = []
    for card in cards:
        if progress:
            progress(card.name)
        checks += _checks(card, _conventions(card.collection))
    return Verification(
        date=datetime.now(UTC).replace(microsecond=0),
        commit=_commit(),
        versions={"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
        checks=tuple(checks),
    )


def _checks(card: ModelCard, known: _Conventions) -> Iterator[Check]:
    try:
        name = current_name(card.name)
    except ValueError as error:
        yield Check(model=card.name, field="Name", stated=card.name, found=str(error), agrees=False)
        return
    note = known.definitions["Name"] if name != card.name else ""
    recorded = recorded_names().get(card.name, name)
    told = card.name if recorded == name else recorded
    agrees = recorded == name
    yield Check(model=card.name, field="Name", stated=told, found=name, agrees=agrees, explanation=note)
    for field, stated, found in (*_configured(card, data_config(name), known), *_counted(card, name, known)):
        agrees = stated is None or stated == found
        note = known.explanation(field, stated, found, agrees)
        yield Check(model=card.name, field=field, stated=stated, found=found, agrees=agrees, explanation=note)


def _configured(
    card: ModelCard, config: dict[str, Any], known: _Conventions
) -> Iterator[tuple[str, Value, Value]]:
    """What the index states and what timm is configured with."""
    channels, height, width = config["input_size"]
    yield "ID", card.id, card.name
    yield "Image Size", card.image_size, height if height == width else (height, width)
    yield "Crop Pct", card.crop_pct, config["crop_pct"]
    yield "Interpolation", card.interpolation, config["interpolation"]
    trained = known.normalisation
    for at, field in enumerate(("mean", "std")):
        yield field.capitalize(), (trained[at],) * channels if trained else None, config[field]


def _counted(card: ModelCard, name: str, known: _Conventions) -> Iterator[tuple[str, Value, Value]]:
    """What the index states and what the model has."""
    with torch.device("meta"):
        model = create_model(name).eval()
    _, height, width = data_config(name)["input_size"]
    parameters, measured = count_parameters(model), load_results().of(name)
    macs = count_macs(model, height, width)
    yield "Parameters", card.parameters, parameters
    if measured:
        yield "Parameters, M", measured.parameters, round(parameters / 1e6, 2)
    if known.flops_aspect:
        across, down = known.flops_aspect
        yield "FLOPs", card.flops, count_index_flops(model, height, height * across // down)
    else:
        yield "FLOPs", card.flops, 2 * macs
    yield "MACs", None, macs
    if known.old_checkpoints:
        yield "File Size", card.file_size, count_index_bytes(model)
    elif (config := timm.get_pretrained_cfg(name)) and config.file:
        yield "File Size", card.file_size, Path(config.file).stat().st_size
    momenta = {each.momentum for each in model.modules() if isinstance(each, nn.BatchNorm2d)}
    if momenta or card.batch_norm_momentum is not None:
        yield "BatchNorm Momentum", card.batch_norm_momentum, momenta.pop() if len(momenta) == 1 else None


def format_verification(verification: Verification, width: int = 100) -> str:
    """The checks of each model as a table for a terminal, the explanations below it, and a summary.

    Args:
        verification: The record of a run.
        width: Columns that the explanations may have.
    """
    notes: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    for model in dict.fromkeys(check.model for check in verification.checks):
        rows.append((model, "", "", ""))
        for field, check in verification.of(model).items():
            note = f" [{notes.setdefault(check.explanation, len(notes) + 1)}]" if check.explanation else ""
            found = textwrap.shorten(show(check.found), width=40, placeholder=" ...")
            rows.append((f"  {field}", show(check.stated), found, check.status + note))
    count = Counter(check.status for check in verification.checks)
    summary = (
        f"{len(verification.checks)} checks: {count['agrees']} agree, {count['found']} found where the index "
        f"states nothing,\n{count['explained']} explained, {count['MISMATCH']} MISMATCH"
    )
    wrong = "".join(
        f"\n{check.model}: {check.field} is {show(check.stated)} in the index; found: {show(check.found)}"
        for check in verification.failures
    )
    ran = " ".join(f"{package} {number}" for package, number in verification.versions.items())
    table = format_table(("field", "stated", "found", "status"), rows, right={1, 2})
    explained = "\n".join(
        textwrap.fill(f"[{number}] {note}", width=width, subsequent_indent="    ")
        for note, number in notes.items()
    )
    return f"{table}\n\n{explained}\n\n{summary}{wrong}\n{ran}"


def load_verification(path: str | Path) -> Verification:
    """Read the record of a run that `run_verify` has written."""
    return Verification.model_validate_json(Path(path).read_text(encoding="utf-8"))


def run_verify(
    models: Iterable[str] | None = None,
    pages: Iterable[str | Path] | None = None,
    json: str | Path | None = None,
    write: Callable[[str], object] | None = None,
    progress: Callable[[str], object] | None = None,
    width: int = 100,
) -> int:
    """Verify models and write the table: what `advprop verify` does.

    Args:
        models: Names of the models to check, all by default.
        pages: Pages with a model index, the project's by default.
        json: Where to keep the record of the run.
        write: Takes the text; by default it goes to the standard output.
        progress: Called with the name of each model before it is checked.
        width: Columns that the text may have.

    Returns:
        0 if all agrees or is explained, 1 if a page cannot be read or a field is wrong.
    """
    write = write or sys.stdout.write
    try:
        verification = verify(load_model_index(pages), models, progress)
    except ModelIndexError as error:
        write(f"{error}\n")
        return 1
    write(format_verification(verification, width) + "\n")
    if json is not None:
        Path(json).parent.mkdir(parents=True, exist_ok=True)
        Path(json).write_text(verification.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return 1 if verification.failures else 0


def _commit() -> str | None:
    root = checkout()
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if root is None:
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
