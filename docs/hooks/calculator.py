"""What training on ImageNet takes: days and GPU hours from measured images per second."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import torch
from torch.utils.flop_counter import FlopCounterMode

from advprop.cards import Result, Results
from advprop.models import create_model
from advprop.recipes import make_recipe
from docs.hooks.facts import Model
from docs.hooks.measured import IMAGENET, on_gpu
from scripts.benchmark import METHODS

# A method, and the steps of its attack where they can be chosen.
Case: TypeAlias = tuple[str, int | None]
CASES: Mapping[str, Case] = {name: (each["method"], each.get("steps")) for name, each in METHODS.items()}
LABELS: Mapping[str, str] = {
    "standard": "Standard",
    "advprop": "AdvProp",
    "fast": "Fast AdvProp",
    "adversarial": "One set of norms",
    "fine-grained": "Fine-grained",
}
MAX_STEPS = 10
# Images per second of resnet50 in timm's training benchmark: the file and commit that
# advprop/data_files/timm_imagenet_results.yaml names, which has the EfficientNets' own.
TIMM_RESNET50 = 826.06


@dataclass(frozen=True)
class Network:
    """A network, and what a run on ImageNet trains it with.

    Attributes:
        name: As readers know it.
        model: As the benchmark knows it.
        image_size: Height and width of an image, in pixels.
        macs: Multiply-accumulates of the forward pass of such an image.
        timm_rate: Images per second in timm's training benchmark.
        epochs: Of the recipe of each method.
    """

    name: str
    model: str
    image_size: int
    macs: int
    timm_rate: float
    epochs: Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """What a network's training steps take on one GPU.

    Attributes:
        base: The network whose speed was measured; another one's is scaled as timm's benchmark has the two.
        rate: Images per second in standard training.
        costs: Time of an image over that in standard training, of each measured case.
        slower: How many times slower that makes it than MACs would.
    """

    network: Network
    base: Network
    rate: float
    costs: Mapping[Case, float]
    slower: float

    def cost(self, method: str, steps: int) -> float | None:
        """Time of an image over that in standard training; None if nothing was measured that tells it.

        Between and beyond two measured numbers of attack steps it lies on the line through both.
        """
        known = {steps if k is None else k: cost for (name, k), cost in self.costs.items() if name == method}
        if steps in known or len(known) < 2:
            return known.get(steps)
        first, last = min(known), max(known)
        return known[first] + (steps - first) * (known[last] - known[first]) / (last - first)

    def run(self, method: str, steps: int = 1) -> "Run | None":
        """The recipe's run on one GPU; None if nothing was measured that tells what it takes."""
        cost = self.cost(method, steps)
        return run(self.rate / cost, self.network.epochs[method]) if cost else None


@dataclass(frozen=True)
class Run:
    """What a run takes."""

    images_per_second: float
    days: float
    gpu_hours: float


def run(rate: float, epochs: int, gpus: int = 1) -> Run:
    """What training on ImageNet takes, if `gpus` GPUs are so many times as fast as one: `rate` images/s."""
    seconds = epochs * IMAGENET / (rate * gpus)
    return Run(rate * gpus, seconds / 86400, seconds * gpus / 3600)


def prices(models: Iterable[Model], records: Sequence[Mapping[str, Any]]) -> list[Row]:
    """What each network takes: ResNet-50, then those of the cards; empty if ResNet-50 was not measured.

    Args:
        models: Those whose cards state no epochs, or that timm has not measured, are left out.
        records: What `scripts.benchmark` has measured; those of GPUs count, without torch.compile.
    """
    told = (_network(model, model.measured) for model in models if model.measured and model.card.epochs)
    networks = [_resnet50(), *told]
    of_gpus = filter(on_gpu, reversed(records))  # so the first of several is the one that stays
    by_case = {(each["model"], each["image_size"]): each for each in of_gpus}
    measured = [(each, by_case.get((each.model, each.image_size))) for each in networks]
    bases = [(network, record) for network, record in measured if record]
    return [_row(each, bases) for each in networks] if measured[0][1] else []


def _row(network: Network, bases: Sequence[tuple[Network, Mapping[str, Any]]]) -> Row:
    """What a network takes, by the measured one that is most alike: of the same family, nearest in MACs."""

    def apart(base: tuple[Network, Any]) -> tuple[bool, float]:
        family, of_base = (each.name.partition("-")[0] for each in (network, base[0]))
        return of_base != family, abs(math.log(base[0].macs / network.macs))

    base, record = min(bases, key=apart)
    rates = {name: statistics.median(each) for name, each in record["images_per_second"].items()}
    costs = {CASES[name]: rates["standard"] / rate for name, rate in rates.items() if name in CASES}
    scale = network.timm_rate / base.timm_rate
    slower = base.macs / network.macs / scale
    return Row(network, base, rates["standard"] * scale, costs, slower)


def _network(model: Model, result: Result) -> Network:
    """The network of a card, trained by each method for as long as the card states."""
    speed = next(each for each in result.throughput if each.hardware.task == "training")
    size, epochs = int(model.card.image_size), make_recipe(f"card:{model.name}", data="imagenet").epochs
    name = model.timm_name.partition(".")[0]
    of_each = dict.fromkeys(LABELS, epochs)
    return Network(model.network, name, size, model.macs, speed.images_per_second, of_each)


@cache
def _resnet50() -> Network:
    """ResNet-50, trained for as long as the recipes of the package have it."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        create_model("resnet50").eval()(torch.empty(1, 3, 224, 224))
    macs = counter.get_total_flops() // 2
    usual, fast = (make_recipe(name, data="imagenet").epochs for name in ("resnet50", "resnet50-fast"))
    epochs = dict.fromkeys(LABELS, usual) | {"fast": fast}
    return Network("ResNet-50", "resnet50", 224, macs, TIMM_RESNET50, epochs)


def figure(number: float) -> str:
    """A number for readers, as assets/calculator.js writes it, too.

    Examples:
        >>> from docs.hooks.calculator import figure
        >>> figure(3921.2), figure(12.34), figure(1.256)
        ('3,921', '12.3', '1.26')
    """
    return f"{number:,.{0 if number >= 100 else 1 if number >= 10 else 2}f}"


def timm_benchmark(results: Results) -> str:
    """The file of timm's training benchmark."""
    kinds = (each.hardware for each in results.rows[0].throughput)
    return next(each.file for each in kinds if each.task == "training")
