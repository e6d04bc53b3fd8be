"""How the settings of a small folder of pictures were chosen: `.venv/bin/python -m scripts.small_folders`.

Eight classes, each a gray picture or texture of scikit-image: its training images are crops of its left
part, its test images crops of its right part, and the parts do not overlap. The network of the extra
`photos` is fine-tuned on them, at 64 pixels to take minutes and not hours, with one setting changed at a
time, each with several seeds; the seed draws the crops, too. What each run reaches is kept in
`docs/measured/small_folders.json`. The settings were chosen by these very numbers, so the best of them look
a little better than they are.
"""

import tempfile
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data
from skimage.color import rgb2gray
from tqdm import tqdm

from advprop import make_recipe, train
from scripts.photo_accuracy import NAME
from scripts.surroundings import ROOT, circumstances, read_record, write_record

RECORD = ROOT / "docs" / "measured" / "small_folders.json"
CLASSES = ("astronaut", "brick", "camera", "cat", "coffee", "grass", "gravel", "rocket")
SEEDS = range(2)
TRAIN, TEST, SIDE = 10, 12, 96  # crops of each class, and their side in pixels
SHARE = 0.55  # of a picture's width, from the left, that training crops come from
BASE: dict[str, Any] = {
    "model": NAME,
    "pretrained": True,
    "method": "standard",
    "image_size": 64,
    "epochs": 10,
    "batch_size": 16,
    "lr": 0.01,
    "lr_base_size": None,
    "warmup_epochs": 1,
    "scale": (0.5, 1.0),
    "color_jitter": 0.2,
    "label_smoothing": 0.1,
    "threads": 1,
    "workers": 0,
}
ARMS: Mapping[str, dict[str, Any]] = {
    "standard, lr 0.01": {},
    "standard, lr 0.03": {"lr": 0.03},
    "standard, lr 0.003": {"lr": 0.003},
    "AdvProp, eps 1/255": {"method": "advprop", "steps": 1, "eps": "1/255"},
    "standard, from scratch": {"pretrained": False},
    "standard, 20 epochs": {"epochs": 20},
    "AdvProp, eps 4/255": {"method": "advprop", "steps": 1, "eps": "4/255"},
    "standard, lr 0.1": {"lr": 0.1},
    "standard, ImageNet's crops and jitter": {"scale": (0.08, 1.0), "color_jitter": 0.4},
}


def main() -> None:
    """Measure what the record does not have yet, and keep each run as soon as it is there."""
    found = circumstances("cpu") | {"classes": len(CLASSES), "train": TRAIN, "test": TEST, "base": BASE}
    rows = read_record(RECORD, {"runs": []})["runs"]
    done = {(row["arm"], row["seed"]) for row in rows}
    for arm, seed in tqdm([job for job in product(ARMS, SEEDS) if job not in done], "training"):
        rows.append({"arm": arm, "seed": seed} | run(seed, ARMS[arm]))
        write_record(RECORD, found | {"runs": rows})


def run(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train on the crops of a seed; what the run reaches on the test crops."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder, "pictures")
        write_crops(pictures, seed)
        asked = BASE | {"data": str(pictures), "seed": seed} | dict(settings)
        recipe = make_recipe(asked, test_every=asked["epochs"])
        outcome = train(recipe, Path(folder, "run"))
    return {"clean": outcome.clean.top1, "n": outcome.clean.n, "seconds": round(outcome.seconds, 1)}


def write_crops(folder: Path, seed: int) -> None:
    """The crops of all classes as PNG, in folders for training and for testing."""
    for name in CLASSES:
        generator = np.random.default_rng([seed, CLASSES.index(name)])
        picture = gray(name)
        border = int(SHARE * picture.shape[1])
        parts = (("train", picture[:, :border], TRAIN), ("test", picture[:, border:], TEST))
        for split, part, count in parts:
            place = folder / split / name
            place.mkdir(parents=True)
            for number, crop in enumerate(crops(part, count, generator)):
                Image.fromarray(crop).save(place / f"{number}.png")


def gray(name: str) -> np.ndarray:
    """A picture of scikit-image in gray, `[H, W]`."""
    pixels: np.ndarray = getattr(data, name)()
    return pixels if pixels.ndim == 2 else (255 * rgb2gray(pixels)).round().astype("uint8")


def crops(part: np.ndarray, count: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Squares of a part of a picture, from random places."""
    height, width = part.shape
    for _ in range(count):
        top, left = generator.integers(height - SIDE + 1), generator.integers(width - SIDE + 1)
        yield part[top : top + SIDE, left : left + SIDE]


if __name__ == "__main__":
    main()
