"""Measure the ImageNet network of the extra `photos` anew: `.venv/bin/python -m scripts.photo_accuracy`.

The pictures are the 20 of ImageNet that foolbox brings for its tests. Counted is how many of them the network
reads correctly, normalized as its configuration says and with ImageNet's usual statistics; how many it still
reads after PGD away from the label; and how many answers that changes. It takes about a minute of a CPU core.
"""

from importlib.metadata import distribution
from pathlib import Path

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
    """Measure what the network reads of the pictures, and write it."""
    images, labels = pictures()
    own = network()
    usual = PixelModel(own.model, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    before = answers(own, images)
    after = {levels: answers(own, driven_away(own, images, labels, levels)) for levels in LEVELS}
    found = {
        "model": NAME,
        "n": len(labels),
        "right": int((before == labels).sum()),
        "right_with_imagenet_statistics": int((answers(usual, images) == labels).sum()),
        "attacked": [
            {
                "eps": f"{levels:g}/255",
                "steps": STEPS,
                "right": int((told == labels).sum()),
                "changed": int((told != before).sum()),
            }
            for levels, told in after.items()
        ],
    }
    write_record(RESULTS, circumstances("cpu") | found)


def network(name: str = NAME) -> PixelModel:
    """A pretrained network, by default that of the extra `photos`, for pixels in [0, 1]."""
    config = data_config(name)
    return PixelModel(create_model(name, pretrained=True).eval(), config["mean"], config["std"])


def to_pixels(picture: Image.Image) -> Tensor:
    """The pixels that the network sees of a picture in [0, 1], `[3, 224, 224]`."""
    pixels: Tensor = create_transform(NAME, mean=(0, 0, 0), std=(1, 1, 1))(picture)
    return pixels


def pictures() -> tuple[Tensor, Tensor]:
    """The pictures as pixels in [0, 1], `[20, 3, 224, 224]`, and their labels."""
    folder = Path(str(distribution("foolbox").locate_file("foolbox/data")))
    files = sorted(folder.glob("imagenet_*.jpg"))
    images = torch.stack([to_pixels(Image.open(file).convert("RGB")) for file in files])
    return images, torch.tensor([int(file.stem.rpartition("_")[2]) for file in files])


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
