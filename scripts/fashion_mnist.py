"""Fashion-MNIST by every method, from several seeds: `python -m scripts.fashion_mnist`.

The trainer of this package trains by `docs/measured/fashion_mnist.yaml`; the methods differ in `method` alone
(and `fast` in its attack, which goes away from the label). What each run reaches on the test images, clean
and corrupted, is kept in `docs/measured/fashion_mnist.json`. Runs that are done already, in `--runs`, are not
done again, and one that was interrupted goes on.

`--choose` is how the recipe's eps was chosen: AdvProp with several eps, trained on the first 50,000 training
images and tested on the other 10,000, corrupted. Its outcomes are kept as well.

The images are those of Debian's package dataset-fashion-mnist, or of torchvision.
"""

import argparse
import gzip
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from advprop import make_recipe, train
from advprop.recipes import Method
from scripts.surroundings import ROOT, circumstances, read_record, write_record

MEASURED = ROOT / "docs" / "measured"
RECIPE = MEASURED / "fashion_mnist.yaml"
RECORD = MEASURED / "fashion_mnist.json"
PLACES = (Path("data/FashionMNIST/raw"), Path("/usr/share/datasets/fashion-mnist"))
SEEDS = range(5)
CHOICE_SEED = 100
CHOICE_EPS = ("4/255", "8/255", "16/255", "32/255")
HELD_OUT = 10_000
# In MNIST's format: bytes before the first image or label, and of each.
KINDS = {"images-idx3": (16, 28 * 28), "labels-idx1": (8, 1)}


def main(arguments: list[str] | None = None) -> int:
    """Train all, or choose the recipe's eps, keep what was measured; return the exit status."""
    parser = argparse.ArgumentParser(description="Fashion-MNIST by every method, from several seeds.")
    parser.add_argument("--source", type=Path, default=next(filter(Path.is_dir, PLACES), PLACES[0]))
    parser.add_argument("--runs", type=Path, default=Path("runs/fashion_mnist"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--epochs", type=int, help="fewer than the recipe has, for a try")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--choose", action="store_true", help="compare several eps instead")
    parser.add_argument("--record", type=Path, default=RECORD, help="where to keep it")
    asked = parser.parse_args(arguments)
    try:
        rows = measure(asked)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    kind = None if asked.device == "auto" else asked.device.partition(":")[0]
    found = {"choice" if asked.choose else "table": {**circumstances(kind), "runs": rows}}
    write_record(asked.record, read_record(asked.record, {}) | found)
    return 0


def measure(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Train what is asked for; what was set for each run, and what it reaches.

    Raises:
        ValueError: If Fashion-MNIST is not where it should be, or there is no such device.
    """
    if not asked.source.is_dir():
        raise ValueError(f"Fashion-MNIST is not in {asked.source}; --source says where it is")
    usual = {"device": asked.device} | ({"epochs": asked.epochs} if asked.epochs else {})
    data = asked.runs / ("data-choice" if asked.choose else "data")
    put_images(asked.source, data / "FashionMNIST" / "raw", HELD_OUT if asked.choose else 0)
    runs = choices() if asked.choose else methods(asked.seeds)
    settings = {asked.runs / name: usual | {"data_dir": str(data)} | each for name, each in runs.items()}
    results = list(train_all(settings, asked.jobs))
    return [each | found for each, found in zip(runs.values(), results, strict=True)]


def methods(seeds: list[int]) -> dict[str, dict[str, Any]]:
    """What to set for each run, by its name."""
    return {f"{name}-{seed}": {"method": name, "seed": seed} for seed in seeds for name in get_args(Method)}


def choices() -> dict[str, dict[str, Any]]:
    """What to set for each eps, by the name of its run."""
    names = {f"choice-{eps.partition('/')[0]}-{CHOICE_SEED}": eps for eps in CHOICE_EPS}
    return {name: {"method": "advprop", "eps": eps, "seed": CHOICE_SEED} for name, eps in names.items()}


def put_images(source: Path, target: Path, held_out: int) -> None:
    """Put the four files, packed or not, where torchvision looks for them.

    The last `held_out` training images take the place of the test images, if there are to be any.
    """
    target.mkdir(parents=True, exist_ok=True)
    for kind, (head, size) in KINDS.items():
        train_bytes, test_bytes = (content(source / f"{part}-{kind}-ubyte") for part in ("train", "t10k"))
        if held_out:
            cut = len(train_bytes) - held_out * size
            train_bytes, test_bytes = train_bytes[:cut], train_bytes[:head] + train_bytes[cut:]
        for part, data in (("train", train_bytes), ("t10k", test_bytes)):
            count = (len(data) - head) // size
            (target / f"{part}-{kind}-ubyte").write_bytes(data[:4] + count.to_bytes(4, "big") + data[8:])


def content(path: Path) -> bytes:
    """Return the content of a file, or of the same file packed."""
    return path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())


def train_all(runs: Mapping[Path, Mapping[str, Any]], jobs: int) -> Iterator[dict[str, Any]]:
    """Train one after the other or several at a time; what each reaches, in their order."""
    if jobs == 1:
        yield from map(train_one, tqdm(runs, "runs", disable=None), runs.values())
        return
    fresh = multiprocessing.get_context("spawn")  # a GPU cannot be shared with a process that was forked
    with ProcessPoolExecutor(jobs, mp_context=fresh) as pool:
        yield from tqdm(pool.map(train_one, runs, runs.values()), "runs", total=len(runs), disable=None)


def train_one(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one, or go on with it; accuracy and seconds."""
    outcome = train(make_recipe(RECIPE, settings, threads=1), folder, resume=True)
    return {
        "clean": outcome.clean.top1,
        "corrupted": outcome.mean_corrupted(),
        "n": outcome.clean.n,
        "seconds": round(outcome.seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
