"""Train `advprop_digits.advprop` and `.standard` anew: `.venv/bin/python -m scripts.make_digits_weights`.

The trainer of this package trains both by `advprop/data_files/advprop_digits.yaml`, from several seeds. The
weights of the recipe's own seed are kept, with what they and the other seeds reach on test images: clean, and
with all corruptions at all severities. It takes some ninety seconds of one CPU core.

`--keep` leaves the weights as they are and measures them anew, for when a corruption has changed; the other
seeds are trained.

`--choose` is how the recipe's eps was chosen: by the accuracy on corrupted test images of other seeds. Its
outcomes are kept as well. Other seeds have other test images, but not disjoint ones: all are of those 1797.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from safetensors.torch import save_file
from tqdm import tqdm

from advprop import Accuracy, evaluate, evaluate_corruptions, load_run, make_recipe, train
from advprop.data import Batches, digits
from advprop.evaluation import SEVERITIES
from advprop.runs import Outcome, mean_top1
from scripts import notebook_cache
from scripts.photo_accuracy import network
from scripts.surroundings import circumstances, read_record, write_record

FILES = notebook_cache.PACKAGE / "data_files"
RECIPE = FILES / "advprop_digits.yaml"
RESULTS = FILES / "advprop_digits.json"
Table: TypeAlias = dict[str, dict[int, Accuracy]]
METHODS = ("advprop", "standard")
SEEDS = range(5)  # the recipe's own, and four to compare it with
CHOICE_SEEDS = (101, 102)
CHOICE_EPS = (0.05, 0.1, 0.2, 0.3)


def main() -> None:
    """Make the weights, or choose the recipe, and write what was measured."""
    parser = argparse.ArgumentParser(description="Train the weights of advprop_digits anew.")
    parser.add_argument("--keep", action="store_true", help="measure the weights that there are")
    parser.add_argument("--choose", action="store_true", help="compare settings on other seeds instead")
    asked = parser.parse_args()
    found = {"choice": list(choose())} if asked.choose else make(asked.keep)
    write_record(RESULTS, read_record(RESULTS, {}) | found)


def make(keep: bool) -> dict[str, Any]:
    """Train all seeds, save the weights of the recipe's own or `keep` those, and return what was measured."""
    published = make_recipe(RECIPE)
    models, seeds = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for seed, method in tqdm([(seed, method) for seed in SEEDS for method in METHODS], "training"):
            path, own = FILES / f"{published.model}.{method}.safetensors", seed == published.seed
            if own and keep:
                found = measure(path.stem)
            else:
                outcome = run(Path(folder), method=method, seed=seed)
                found = outcome.clean, outcome.corrupted
                if own:
                    save_weights(outcome, path)
            seeds.append({"seed": seed, "method": method} | summary(*found))
            if own:
                models[path.stem] = record(*found, path)
    return circumstances() | {
        "data": {"train_images": published.train_images, "seed": published.seed},
        "models": models,
        "seeds": seeds,
    }


def choose() -> Iterator[dict[str, Any]]:
    """Train other seeds with several eps."""
    settings = [(eps, seed) for seed in CHOICE_SEEDS for eps in CHOICE_EPS]
    with tempfile.TemporaryDirectory() as folder:
        for eps, seed in tqdm(settings, "choosing"):
            outcome = run(Path(folder), eps=eps, seed=seed)
            yield {"eps": eps, "seed": seed} | summary(outcome.clean, outcome.corrupted)


def run(folder: Path, **settings: Any) -> Outcome:
    """Train by the recipe with a few settings changed."""
    recipe = make_recipe(RECIPE, severities=SEVERITIES, **settings)
    return train(recipe, tempfile.mkdtemp(dir=folder) + "/run")


def measure(name: str) -> tuple[Accuracy, Table]:
    """Accuracy of the weights that come with the package, as the trainer measures it."""
    published = make_recipe(RECIPE)
    pixels = network(name)
    test = Batches(digits(published.train_images, published.seed).test, published.batch_size)
    return evaluate(pixels, test), evaluate_corruptions(pixels, test)


def summary(clean: Accuracy, table: Table) -> dict[str, Any]:
    """Clean and mean corrupted accuracy, and of how many images."""
    return {"clean": clean.top1, "corrupted": mean_top1(table.values()), "n": clean.n}


def record(clean: Accuracy, table: Table, path: Path) -> dict[str, Any]:
    """What the weights in a file reach, also by kind and by severity of corruption."""
    return summary(clean, table) | {
        "by_kind": {kind: mean_top1([row]) for kind, row in table.items()},
        "by_severity": {str(n): mean_top1({n: row[n]} for row in table.values()) for n in SEVERITIES},
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def save_weights(outcome: Outcome, path: Path) -> None:
    """Write the weights of the plain network that a run has trained."""
    state = load_run(outcome.run.directory).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, {"format": "pt"})
    path.chmod(0o644)  # for all to read, as other files of a package


if __name__ == "__main__":
    main()
