"""A new head of a pretrained network."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from advprop.data.batches import Data, TensorSet
from advprop.models import create_model
from advprop.recipes.recipe import make_recipe
from advprop.training.build import build_model


def images(classes: int) -> Data:
    made = TensorSet(torch.rand(6, 3, 224, 224), torch.arange(6) % classes)
    return Data(train=made, test=made, class_names=tuple("abcdefgh"[:classes]), shape=(3, 224, 224))


def head(model: nn.Module) -> torch.Tensor:
    """All weights of the last layer, or of the two of a distilled transformer."""
    layers = model.get_classifier()
    layers = layers if isinstance(layers, tuple) else (layers,)
    return torch.cat([each.flatten() for layer in layers for each in layer.parameters()])


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "deit_tiny_distilled_patch16_224"])
def test_a_new_head_begins_with_all_classes_equally_likely(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = create_model(name, num_classes=7)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    recipe = make_recipe(
        model=name, weights=str(tmp_path / "weights.safetensors"), method="standard", image_size=224
    )
    assert torch.equal(head(build_model(recipe, images(7))), head(source))
    data = images(2)
    model = build_model(recipe, data).train()
    loss = F.cross_entropy(model(data.train.images), data.train.labels)
    assert loss.item() == pytest.approx(math.log(2), abs=0.01)
