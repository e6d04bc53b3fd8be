"""Compare what the model index says of each model with the model itself, as timm builds it.

Models are built on the meta device: no weight is made or downloaded. A difference is a failure unless
`data_files/verification.yaml` explains it for exactly the two values.
"""

import platform
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import yaml
from torch import nn
from tqdm import tqdm

from advprop.cards.counts import count_index_flops, count_macs
from advprop.cards.model_card import ModelCard, Record
from advprop.cards.model_index import ModelIndex, load_model_index, recorded_names
from advprop.cards.timm_results import load_results
from advprop.models import create_model, current_name, data_config
from advprop.runtime import package_folder

_PACKAGES = ("advprop", "torch", "timm")

Value = str | int | float | tuple[float, ...] | None
# A field, what is stated, what was found, and by how much the first may be larger.
Row = tuple[str, Value, Value] | tuple[str, Value, Value, int]


class Check(Record):
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


class Verification(Record):
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


class _Explained(Record):
    field: str
    stated: Value
    found: Value
    explanation: str


class _Conventions(Record):
    """What holds for the models of a collection: `data_files/verification.yaml`."""

    definitions: dict[str, str]
    normalization: tuple[float, float] | None = None
    flops_aspect: tuple[int, int] | None = None
    bytes_per_tensor: int | None = None
    explained: tuple[_Explained, ...] = ()

    def check(self, model: str, field: str, stated: Value, found: Value, slack: int = 0) -> Check:
        """A field, which may state up to `slack` more than was found, with what explains the outcome."""
        agrees = stated is None or stated == found
        if slack and isinstance(stated, int) and isinstance(found, int):
            agrees = 0 <= stated - found <= slack
        reasons = {(each.field, each.stated, each.found): each.explanation for each in self.explained}
        note = self.definitions.get(field, "") if agrees else reasons.get((field, stated, found), "")
        return Check(model=model, field=field, stated=stated, found=found, agrees=agrees, explanation=note)


def _conventions(collection: str) -> _Conventions:
    """What holds for all models, and what the collection has in its place."""
    known = yaml.safe_load((package_folder("data_files") / "verification.yaml").read_text(encoding="utf-8"))
    own = known["collections"].get(collection, {})
    definitions = known["all"]["definitions"] | own.get("definitions", {})
    return _Conventions.model_validate(known["all"] | own | {"definitions": definitions})


def verify(
    index: ModelIndex | None = None,
    models: Iterable[str] = (),
    progress: bool = False,
) -> Verification:
    """Check models of the index against timm's configuration and against what is counted.

    Args:
        index: A model index; by default the project's.
        models: Names of the models to check; none: all.
        progress: Whether to show a bar.

    Raises:
        ValueError: If the index has no such model.

    Examples:
        >>> from advprop.cards import verify
        >>> verify(models=["tf_efficientnet_b0_ap"]).of("tf_efficientnet_b0_ap")["FLOPs"].status
        'agrees'
    """
    index = index or load_model_index()
    checks: list[Check] = []
    cards = [index.model(name) for name in models] or index.models
    for card in tqdm(cards, desc="verifying", unit=" models", leave=False, disable=not progress):
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
    recorded = recorded_names().get(card.name, name)
    note = known.definitions["Name"] if card.name != name == recorded else ""
    told = card.name if name == recorded else recorded
    yield Check(
        model=card.name, field="Name", stated=told, found=name, agrees=name == recorded, explanation=note
    )
    for row in (*_configured(card, data_config(name), known), *_counted(card, name, known)):
        yield known.check(card.name, *row)


def _configured(card: ModelCard, config: dict[str, Any], known: _Conventions) -> Iterator[Row]:
    """What timm is configured with."""
    channels, height, width = config["input_size"]
    yield "ID", card.id, card.name
    yield "Image Size", card.image_size, height if height == width else (height, width)
    yield "Crop Pct", card.crop_pct, config["crop_pct"]
    yield "Interpolation", card.interpolation, config["interpolation"]
    trained = known.normalization
    for at, field in enumerate(("mean", "std")):
        yield field.capitalize(), (trained[at],) * channels if trained else None, config[field]


def _counted(card: ModelCard, name: str, known: _Conventions) -> Iterator[Row]:
    """What the model has."""
    with torch.device("meta"):
        model = create_model(name).eval()
    _, height, width = data_config(name)["input_size"]
    parameters, macs = sum(each.numel() for each in model.parameters()), count_macs(model, height, width)
    yield "Parameters", card.parameters, parameters
    if measured := load_results().of(name):
        yield "Parameters, M", measured.parameters, round(parameters / 1e6, 2)
    flops = 2 * macs
    if known.flops_aspect:
        across, down = known.flops_aspect
        flops = count_index_flops(model, height, height * across // down)
    yield "FLOPs", card.flops, flops
    yield "MACs", None, macs
    if known.bytes_per_tensor:
        tensors = model.state_dict().values()
        stored, slack = sum(each.nbytes for each in tensors), known.bytes_per_tensor * len(tensors)
        yield "File Size", card.file_size, stored, slack
    elif (config := timm.get_pretrained_cfg(name)) and config.file:
        yield "File Size", card.file_size, Path(config.file).stat().st_size
    momenta = {each.momentum for each in model.modules() if isinstance(each, nn.BatchNorm2d)}
    if momenta or card.batch_norm_momentum is not None:
        found = momenta.pop() if len(momenta) == 1 else None
        yield "BatchNorm Momentum", card.batch_norm_momentum, found


def load_verification(path: str | Path) -> Verification:
    """Read the record of a run that `advprop verify --json` has written."""
    return Verification.model_validate_json(Path(path).read_text(encoding="utf-8"))


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.CalledProcessError):
        if (root / ".git").exists():  # else the package is installed
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None
