"""What timm and torch make of a model with auxiliary norms: frozen, unfrozen, scripted."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.layers import convert_sync_batchnorm, freeze_batch_norm_2d
from timm.utils import freeze, unfreeze
from torch import Tensor, nn

from advprop import AdvPropTask, PixelModel, add_aux_norm, remove_aux_norm, use_branch
from advprop.norms.wrap import aux_norms
from tests.norms.test_wrap import stirred, through, tiny

separations = pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
PLAIN_NORMS = {"model_name": "test_resnet", "zero_init_last": False}  # others have activations in them
BRANCHES = ("main", "adv", {"main": 2, "adv": 4})


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    return [through(model, images, branch) for branch in BRANCHES]


def of_the_norms(model: nn.Module) -> list[Tensor]:
    """All that the norms hold, as it is now."""
    return [
        tensor.clone() for layer in aux_norms(model) for tensor in (*layer.parameters(), *layer.buffers())
    ]


def train_a_step(model: nn.Module, images: Tensor) -> None:
    """One in which all branches see images and every parameter that may be trained moves."""
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    with use_branch(model, {"main": 3, "adv": 3}):
        model(images).square().mean().backward()
    optimizer.step()
    model.eval()


@separations
@pytest.mark.parametrize("settings", [{"model_name": "test_efficientnet"}, PLAIN_NORMS], ids=str)
def test_timm_freezes_and_unfreezes_the_norms_of_all_branches(
    settings: dict[str, Any], separate: str, images: Tensor
) -> None:
    torch.manual_seed(0)
    model = timm.create_model(num_classes=5, **settings).eval()
    stirred(add_aux_norm(model, separate=separate))
    expected = outputs(model, images)
    freeze(model, [name for name, _ in model.named_children() if name not in ("classifier", "fc")])
    torch.testing.assert_close(outputs(model, images), expected)
    before = of_the_norms(model)
    train_a_step(model, images)
    assert all(map(torch.equal, of_the_norms(model), before))
    expected = outputs(model, images)
    unfreeze(model)
    model.eval()  # timm's new layers are in training mode
    torch.testing.assert_close(outputs(model, images), expected)
    before = of_the_norms(model)
    train_a_step(model, images)
    assert not any(map(torch.equal, of_the_norms(model), before))
    main, adv, mixed = outputs(model, images)
    torch.testing.assert_close(mixed, torch.cat([main[:2], adv[2:]]))


@separations
@pytest.mark.parametrize("keep", ["main", "adv"])
def test_a_frozen_branch_can_be_kept_alone(separate: str, keep: str, images: Tensor) -> None:
    model = stirred(add_aux_norm(tiny(), separate=separate))
    freeze(model)
    expected = through(model, images, keep)
    kept = remove_aux_norm(copy.deepcopy(model), keep=keep)
    torch.testing.assert_close(kept(images), expected)
    assert list(kept.state_dict()) == list(freeze_batch_norm_2d(tiny()).state_dict())
    assert not [name for name, p in kept.named_parameters() if p.requires_grad]
    unfreeze(model)
    model.eval()  # timm's new layers are in training mode
    kept = remove_aux_norm(model, keep=keep)
    torch.testing.assert_close(kept(images), expected)
    assert list(kept.state_dict()) == list(tiny().state_dict())
    assert not [name for name, p in kept.named_parameters() if not p.requires_grad]


@separations
def test_norms_that_are_frozen_alone_are_not_trained(separate: str, images: Tensor) -> None:
    model = freeze_batch_norm_2d(stirred(add_aux_norm(tiny(), separate=separate)))
    before = of_the_norms(model)
    train_a_step(model, images)
    assert all(map(torch.equal, of_the_norms(model), before))


@separations
def test_a_norm_is_frozen_by_its_name(separate: str, images: Tensor) -> None:
    model = stirred(add_aux_norm(tiny(), separate=separate))
    expected = outputs(model, images)
    freeze(model, "bn1")
    torch.testing.assert_close(outputs(model, images), expected)
    assert not [p for p in model.bn1.parameters() if p.requires_grad]


@separations
def test_a_task_trains_the_rest_of_a_frozen_model(separate: str, images: Tensor) -> None:
    model = stirred(add_aux_norm(tiny(), separate=separate))
    freeze(model, ["bn1", "blocks"])
    before = of_the_norms(model)
    task = AdvPropTask(model.train())
    task(images, torch.arange(6) % 5)["loss"].backward()
    frozen = [*model.bn1.parameters(), *model.blocks.parameters()]
    assert all(p.grad is None for p in frozen)
    assert model.classifier.weight.grad.abs().sum() > 0
    held = sum(len([*layer.parameters(), *layer.buffers()]) for layer in aux_norms(model.bn1))
    assert all(map(torch.equal, of_the_norms(model)[:held], before[:held]))


@separations
def test_synchronized_then_frozen(separate: str, images: Tensor) -> None:
    model = convert_sync_batchnorm(stirred(add_aux_norm(tiny(), separate=separate)))
    expected = outputs(model, images)
    freeze(model)
    torch.testing.assert_close(outputs(model, images), expected)


# --- scripting ------------------------------------------------------------------------------------

scripted = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
HELD: dict[str, Callable[[nn.Module], nn.Module]] = {
    "itself": lambda model: model,
    "inside": nn.Sequential,
    "pixels": lambda model: PixelModel(model, 0.5, 0.5),
    "layer": lambda model: next(aux_norms(model)),
}


@scripted
@pytest.mark.parametrize("held", HELD)
def test_scripting_says_what_to_do_instead(held: str) -> None:
    model = HELD[held](add_aux_norm(tiny()))
    with pytest.raises(
        RuntimeError, match=re.escape("call remove_aux_norm(model) first, or export the model")
    ):
        torch.jit.script(model)


@scripted
def test_the_plain_model_can_be_scripted_also_for_pixels(images: Tensor) -> None:
    model = remove_aux_norm(add_aux_norm(tiny()))
    for plain in (model, PixelModel(model, 0.5, 0.5)):
        with torch.no_grad():
            torch.testing.assert_close(torch.jit.script(plain)(images), plain(images))
