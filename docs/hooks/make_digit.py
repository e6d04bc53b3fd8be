"""Writes `docs/assets/digit.json`: a digit, and its adversarial copy that a trained network misreads.

`python -m docs.hooks.make_digit` attacks test images of the network that comes with the package, trained
without AdvProp, and takes the one that is misread with the greatest confidence. The home page draws it.
"""

import json
from typing import Any

import torch
from torch import Tensor, nn

from advprop import PGD, PixelModel, create_model
from advprop.data import Batches, digits
from docs.hooks.pictures import DIGIT

EPS = 0.25
NETWORK = "advprop_digits.standard"


def main() -> None:
    """Train, attack, write."""
    data = digits(500)
    network: Any = create_model(NETWORK, pretrained=True).eval()
    model = PixelModel(network, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])
    images, labels = next(Batches(data.test, batch_size=200).epoch(0))
    attack = PGD(eps=EPS, step_size=EPS / 8, steps=20)
    adversarial = attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    number = clearest(model, images, adversarial, labels)
    found = {
        "eps": f"{EPS:g} of the range from white to black",
        "network": NETWORK,
        "reads": {"clean": reads(model, images[number]), "adversarial": reads(model, adversarial[number])},
        "clean": rounded(images[number]),
        "adversarial": rounded(adversarial[number]),
    }
    DIGIT.write_text(json.dumps(found) + "\n", encoding="utf-8")


@torch.no_grad()
def clearest(model: nn.Module, images: Tensor, adversarial: Tensor, labels: Tensor) -> int:
    """The image that is read rightly and its copy wrongly, with the greatest confidence in both."""
    clean, attacked = (model(part).softmax(1) for part in (images, adversarial))
    wrong = attacked.scatter(1, labels[:, None], 0)
    sure = torch.minimum(clean.gather(1, labels[:, None])[:, 0], wrong.max(1).values)
    return int(sure.argmax())


@torch.no_grad()
def reads(model: nn.Module, image: Tensor) -> int:
    """The digit that the network sees."""
    return int(model(image[None]).argmax())


def rounded(image: Tensor) -> list[list[float]]:
    """Pixels `[H, W]` with two decimals."""
    return [[round(float(value), 2) for value in row] for row in image[0]]


if __name__ == "__main__":
    main()
