"""Writes `docs/assets/digit.json`: a digit, and its adversarial copy that a trained network misreads.

`python -m docs.hooks.make_digit` trains the package's small ConvNet on scikit-learn's digits for some
seconds, then attacks test images until one is misread with confidence. The home page draws it.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from advprop import PGD, StandardTask
from advprop.data.batches import Batches, digits
from advprop.models.create import create_model
from docs.hooks.pictures import DIGIT

EPS = 0.25
EPOCHS = 30


def main() -> None:
    """Train, attack, write."""
    torch.manual_seed(0)
    data = digits()
    model = train(data_batches=Batches(data.train, batch_size=50, seed=0))
    images, labels = next(Batches(data.test, batch_size=200).epoch(0))
    attack = PGD(eps=EPS, step_size=EPS / 8, steps=20, targeted=None)
    adversarial = attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    number = clearest(model, images, adversarial, labels)
    found = {
        "eps": f"{EPS:g} of the range from white to black",
        "network": f"advprop_convnet after {EPOCHS} epochs on {len(data.train)} digits",
        "reads": {"clean": reads(model, images[number]), "adversarial": reads(model, adversarial[number])},
        "clean": rounded(images[number]),
        "adversarial": rounded(adversarial[number]),
    }
    DIGIT.write_text(json.dumps(found) + "\n", encoding="utf-8")


def train(data_batches: Batches) -> nn.Module:
    """A network that reads most digits rightly."""
    model = create_model("advprop_convnet")
    task, optimiser = StandardTask(model), torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(EPOCHS):
        for images, labels in data_batches.epoch(epoch):
            optimiser.zero_grad()
            task(images, labels)["loss"].backward()
            optimiser.step()
    return model.eval()


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
