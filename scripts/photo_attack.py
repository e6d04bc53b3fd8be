"""Make the home page's adversarial photograph anew: `.venv/bin/python -m scripts.photo_attack`.

The photograph is scikit-image's cup of coffee, at the input size of the network of the extra `photos`. PGD
drives it away from "espresso", and the result is rounded to 8 bits. The photograph, its adversarial copy and
their magnified difference are written to `docs/assets/photo/` as AVIF. That is lossy, and compression weakens
an attack, so the network's answers are recorded twice: for the pixels before compression, and for the decoded
files. It takes half a minute of a CPU core, and Pillow 11.3 or newer.
"""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from skimage import data
from timm.data import ImageNetInfo
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from advprop import PixelModel
from scripts.photo_accuracy import NAME, STEPS, driven_away, network, to_pixels
from scripts.surroundings import ROOT, circumstances, write_record

PICTURES = ROOT / "docs" / "assets" / "photo"
RECORD = ROOT / "docs" / "measured" / "photo_attack.json"
PHOTOGRAPH = {
    "title": "Coffee cup",
    "author": "Rachel Michetti",
    "courtesy": "Pikolo Espresso Bar",
    "license": "CC0",
    "source": "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.coffee",
}
SOURCE = "coffee"
SHOWN = ("clean", "adversarial")
LABEL = "espresso"
LEVELS = 2  # of 255
MAGNIFIED = 60  # times; a change of 2 levels is 120, around a middle gray
QUALITY = {"clean": 93, "adversarial": 93, "difference": 20}
TOP = 3


def main() -> None:
    """Attack the photograph, and write the pictures and what the network answers."""
    PICTURES.mkdir(exist_ok=True)
    write_record(RECORD, measure(PICTURES))


def measure(folder: Path) -> dict[str, Any]:
    """Write the three pictures to a folder, and return the record of them."""
    made = circumstances("cpu")  # before the pictures change the checkout
    classifier = network()
    clean = to_pixels(Image.fromarray(getattr(data, SOURCE)()))[None]
    label = torch.tensor([list(ImageNetInfo().label_descriptions()).index(LABEL)])
    adversarial = (255 * driven_away(classifier, clean, label, LEVELS)).round() / 255  # in whole levels
    difference = adversarial - clean
    pictures = {"clean": clean, "adversarial": adversarial, "difference": 0.5 + MAGNIFIED * difference}
    for name, pixels in pictures.items():
        file = folder / f"{name}.avif"
        levels = (255 * pixels[0]).round().to(torch.uint8)
        to_pil_image(levels).save(file, quality=QUALITY[name], subsampling="4:4:4", speed=0)
    return made | {
        "model": NAME,
        "photograph": PHOTOGRAPH,
        "label": LABEL,
        "eps": f"{LEVELS}/255",
        "steps": STEPS,
        "largest_change": round(float(255 * difference.abs().max())),
        "magnified": MAGNIFIED,
        "pixels": clean.shape[-1],
        "uncompressed": {name: answers(classifier, pictures[name]) for name in SHOWN},
        "stored": {name: answers(classifier, stored(folder / f"{name}.avif")) for name in SHOWN},
    }


def stored(file: Path) -> Tensor:
    """The pixels of a file in [0, 1], `[1, 3, H, W]`."""
    with Image.open(file) as picture:
        levels: Tensor = pil_to_tensor(picture.convert("RGB"))
    return levels[None] / 255


def answers(classifier: PixelModel, pixels: Tensor) -> list[dict[str, Any]]:
    """The likeliest classes of a picture, each by the first of its names, with their probabilities."""
    info = ImageNetInfo()
    with torch.inference_mode():
        best = classifier(pixels).softmax(1)[0].topk(TOP)
    return [
        {"name": info.index_to_description(label).partition(",")[0], "probability": round(probability, 4)}
        for probability, label in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


if __name__ == "__main__":
    main()
