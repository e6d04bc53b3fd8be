"""Measure the ImageNet network of the extra `photos` anew: `.venv/bin/python -m scripts.photo_accuracy`.

The pictures are the 20 of ImageNet that foolbox brings for its tests. Counted is how many of them the network
reads correctly, normalized as its configuration says and with ImageNet's usual statistics; how many it still
reads after PGD away from the label; and how many answers that changes. It takes about a minute of a CPU core.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from advprop import PGD, PixelModel, create_model, create_transform
from advprop.models import data_config
from scripts.surroundings import ROOT, circumstances, write_record

NAME = "tf_efficientnet_lite0.pypi_in1k"
RESULTS = ROOT / "docs" / "measured" / "photo_accuracy.json"
LEVELS = (0.25, 1, 4)  # of 255
STEPS = 10


def main() -> None:
    """Measure, and write what was found."""
    write_record(RESULTS, measure())


def measure() -> dict[str, Any]:
    """What the network reads of the pictures, and under which conditions that was measured."""
    images, labels = pictures()
    own = network()
    usual = PixelModel(own.model, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    return circumstances("cpu") | {
        "model": NAME,
        "n": len(labels),
        "right": right(own, images, labels),
        "right_with_imagenet_statistics": right(usual, images, labels),
        "attacked": [attacked(own, images, labels, levels) for levels in LEVELS],
    }


def network() -> PixelModel:
    """The network of the extra `photos`, for pixels in [0, 1]."""
    config = data_config(NAME)
    return PixelModel(create_model(NAME, pretrained=True).eval(), config["mean"], config["std"])


def to_pixels(picture: Image.Image) -> Tensor:
    """The pixels that the network sees of a picture in [0, 1], `[3, 224, 224]`."""
    pixels: Tensor = create_transform(NAME, mean=(0, 0, 0), std=(1, 1, 1))(picture)
    return pixels


def pictures() -> tuple[Tensor, Tensor]:
    """The pictures as pixels in [0, 1], `[20, 3, 224, 224]`, and their labels."""
    spec = find_spec("foolbox")
    folders = (spec and spec.submodule_search_locations) or []
    files = sorted(file for folder in folders for file in (Path(folder) / "data").glob("imagenet_*.jpg"))
    images = torch.stack([to_pixels(Image.open(file).convert("RGB")) for file in files])
    return images, torch.tensor([int(file.stem.rpartition("_")[2]) for file in files])


def right(classifier: PixelModel, images: Tensor, labels: Tensor) -> int:
    """How many pictures get their own label."""
    return int((answers(classifier, images) == labels).sum())


def attacked(classifier: PixelModel, images: Tensor, labels: Tensor, levels: float) -> dict[str, Any]:
    """How many pictures are still read rightly after an attack, and how many answers it changes."""
    before = answers(classifier, images)
    after = answers(classifier, driven_away(classifier, images, labels, levels))
    return {
        "eps": f"{levels:g}/255",
        "steps": STEPS,
        "right": int((after == labels).sum()),
        "changed": int((after != before).sum()),
    }


def driven_away(classifier: PixelModel, images: Tensor, labels: Tensor, levels: float) -> Tensor:
    """Adversarial copies of images, by PGD away from the labels within so many levels of 255."""
    torch.manual_seed(0)
    eps = levels / 255
    attack = PGD(eps=eps, step_size=eps / 4, steps=STEPS, targeted=None)
    return attack(classifier, images, labels)


def answers(classifier: PixelModel, images: Tensor) -> Tensor:
    """The likeliest label of each picture, `[B]`."""
    with torch.inference_mode():
        found: Tensor = classifier(images).argmax(1)
    return found


if __name__ == "__main__":
    main()
