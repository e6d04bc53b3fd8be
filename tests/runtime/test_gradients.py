"""A pass that needs no gradients costs no later pass of the same autocast any of its own."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from advprop import PGD, evaluate, predict
from advprop.runtime import without_gradients

PIXELS = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1])


def in_a_block(model: nn.Module) -> None:
    with without_gradients():
        assert not model(PIXELS).requires_grad


PASSES: dict[str, Callable[[nn.Module], object]] = {
    "without_gradients": in_a_block,
    "evaluate": lambda model: evaluate(model, [(PIXELS, LABELS)]),
    "evaluate_attack": lambda model: evaluate(model, [(PIXELS, LABELS)], attack=PGD(eps=0.1, steps=1)),
    "least_likely": lambda model: PGD(steps=1, targeted="least_likely")(model, PIXELS, LABELS),
    "predict": lambda model: predict(model, Image.new("RGB", (8, 8))),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    model.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0,) * 3, "std": (1,) * 3}  # for predict
    return model


def gradients(before: Callable[[nn.Module], object] | None) -> list[Tensor]:
    """Of every weight, after a training pass under autocast that came after another pass."""
    model = network()
    with torch.autocast("cpu", torch.bfloat16):
        if before is not None:
            before(model)
        loss = nn.functional.cross_entropy(model(PIXELS), LABELS)
    loss.backward()
    missing = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert not missing
    return [weight.grad for weight in model.parameters()]


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_under_autocast_costs_no_weight_its_gradient(name: str) -> None:
    torch.testing.assert_close(gradients(PASSES[name]), gradients(None), rtol=0, atol=0)


@pytest.mark.parametrize("cached", [True, False])
def test_autocast_keeps_weights_again_after_it_and_after_an_error(cached: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
        with pytest.raises(RuntimeError, match="shapes"), without_gradients():
            torch.ones(2, 3) @ torch.ones(2, 3)
        assert torch.is_autocast_cache_enabled() is cached
        assert torch.is_grad_enabled()


def test_the_package_takes_passes_without_gradients_in_one_way(root: Path) -> None:
    own = root / "advprop/runtime/gradients.py"
    found = {
        path.name: line.strip()
        for path in (root / "advprop").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"with .*(torch\.no_grad|inference_mode)\(", line) and path != own
    }
    assert not found, "take advprop.runtime.without_gradients()"
