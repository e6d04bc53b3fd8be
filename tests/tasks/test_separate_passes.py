"""AdvProp in a pass for each branch: the losses and gradients of one pass, in less memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.data.mixup import Mixup
from torch import Tensor, nn

from advprop import PGD, AdvPropTask, branch_parameters
from advprop.attacks.objective import HALF_SCALE
from advprop.norms import checkpoint_gradients
from scripts.peak_memory import peak_bytes
from tests.reference import TinyNet, batch

ATTACK = PGD(eps=8 / 255, step_size=4 / 255, steps=2, targeted="random")


def flip(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return images.flip(3)


def trained(separate: bool, **settings: Any) -> tuple[AdvPropTask, list[dict[str, Tensor]]]:
    """A task after three steps, and what it said of each."""
    torch.manual_seed(0)
    task = AdvPropTask(TinyNet(dropout=0.0).double(), **settings, separate_passes=separate).train()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9)
    said = []
    for _ in range(3):
        parts = task(*batch(8, dtype=torch.float64))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        said.append(parts)
    return task, said


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("attack", [ATTACK, {"adv": ATTACK, "flipped": flip}], ids=["one", "fine-grained"])
def test_the_steps_are_those_of_one_pass(attack: Any, mixed: bool) -> None:
    def steps(separate: bool) -> tuple[AdvPropTask, list[dict[str, Tensor]]]:
        np.random.seed(0)  # what timm's mixup draws from
        mixup = Mixup(mixup_alpha=0.2, num_classes=5) if mixed else None
        return trained(separate, attack=attack, mixup=mixup)

    (task, said), (other, told) = steps(True), steps(False)
    assert task.state_dict().keys() == other.state_dict().keys()
    for name, value in task.state_dict().items():  # statistics among them
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-9, atol=1e-12)
    for one, another in zip(said, told, strict=True):
        assert list(one) == list(another)
        torch.testing.assert_close(one, another, rtol=1e-9, atol=1e-12)


def test_gradient_checkpointing_changes_nothing() -> None:
    def gradients(checkpointed: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = timm.create_model("test_resnet", num_classes=5).double()
        if checkpointed:
            checkpoint_gradients(model)
        task = AdvPropTask(model, flip, separate_passes=True).train()
        images, labels = batch(8, side=32, dtype=torch.float64)
        task(images, labels)["loss"].backward()
        return [*(p.grad for p in task.parameters()), *task.buffers()]

    torch.testing.assert_close(gradients(True), gradients(False), rtol=1e-9, atol=1e-12)


def test_one_pass_at_a_time_is_in_memory() -> None:
    def peak(separate: bool) -> int:
        model = timm.create_model("resnet18", num_classes=5)
        task = AdvPropTask(model, lambda model, images, labels: images, separate_passes=separate).train()
        images, labels = torch.rand(8, 3, 128, 128), torch.arange(8) % 5
        _, most = peak_bytes(torch.device("cpu"), lambda: task(images, labels)["loss"])
        of_weights = sum(p.numel() * p.element_size() for p in task.parameters())
        return most - of_weights if separate else most  # it has gradients of one pass at the end

    assert peak(True) < 0.6 * peak(False)


def test_without_gradients_there_is_a_loss() -> None:
    task = AdvPropTask(TinyNet(), ATTACK, separate_passes=True).train()
    with torch.no_grad():
        parts = task(*batch(4))
    assert parts["loss"].isfinite()
    assert not parts["loss"].requires_grad


def test_frozen_parameters_get_no_gradient() -> None:
    task = AdvPropTask(TinyNet(), ATTACK, separate_passes=True).train()
    first = next(task.parameters()).requires_grad_(False)
    task(*batch(4))["loss"].backward()
    assert first.grad is None
    assert all(p.grad is not None for p in task.parameters() if p.requires_grad)


def test_a_branch_without_anything_to_train_has_a_loss() -> None:
    task = AdvPropTask(TinyNet(), ATTACK, separate_passes=True).train()
    groups = branch_parameters(task.trainable_module)
    for parameter in (*groups["shared"], *groups["main"]):
        parameter.requires_grad_(False)
    task(*batch(4))["loss"].backward()
    assert all(p.grad is not None for p in groups["adv"])


def steep(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss whose gradients are too large for fp16."""
    return 2000 * nn.functional.cross_entropy(logits, labels)


def test_in_half_a_gradient_that_is_too_large_lowers_the_scale() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5)
    task = AdvPropTask(model, ATTACK, criterion=steep, separate_passes=True).train()
    with torch.autocast("cpu", torch.float16):
        loss = task(*batch(8, side=32))["loss"]
    assert loss.isfinite()
    assert task.scale == HALF_SCALE / 2
    assert task.get_task_state() == {"scale": task.scale}
    loss.backward()
    assert not all(p.grad.isfinite().all() for p in task.parameters())  # left to the GradScaler
