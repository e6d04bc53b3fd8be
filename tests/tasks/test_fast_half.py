"""Fast AdvProp in fp16: gradients of the attack that are too large, and the scale that answers them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advprop import FastAdvPropTask
from advprop.attacks.objective import HALF_SCALE
from tests.reference import NoWait, batch


def steep(logits: Tensor, labels: Tensor) -> Tensor:
    """A loss whose gradients, at the scale that the attack begins with, are too large for fp16."""
    return 2000 * F.cross_entropy(logits, labels)


def task(criterion: nn.Module | None = None) -> FastAdvPropTask:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5)
    return FastAdvPropTask(model, share=0.5, criterion=criterion or steep).train()


def step(task: FastAdvPropTask, dtype: torch.dtype = torch.float16) -> Tensor:
    images, labels = batch(8, side=32)
    with torch.autocast("cpu", dtype):
        loss: Tensor = task(images, labels)["loss"]
    return loss


def test_steps_that_are_too_large_are_skipped_until_they_are_not() -> None:
    made = task()
    scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(made.parameters(), lr=1e-7)
    before = [p.detach().clone() for p in made.parameters()]
    skipped = 0
    for _ in range(30):
        loss = step(made)
        assert loss.isfinite()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        skipped += all(map(torch.equal, before, made.parameters()))
    assert 0 < skipped < 25
    assert 0 < made.scale < HALF_SCALE
    assert all(p.isfinite().all() for p in made.parameters())


def test_a_gradient_that_is_infinite_reaches_the_parameters() -> None:
    made = task()
    step(made).backward()
    assert not all(p.grad.isfinite().all() for p in made.parameters())


def test_the_scale_is_halved_then_grows_back_and_is_left_alone_in_other_precisions() -> None:
    made = task()
    step(made)
    assert made.scale == HALF_SCALE / 2
    made.criterion = nn.CrossEntropyLoss()
    for dtype, grown in ((torch.bfloat16, 1), (torch.float16, 2 ** (1 / 2000))):
        step(made, dtype)
        assert made.scale.item() == pytest.approx(HALF_SCALE / 2 * grown, abs=1e-3)
    made.scale.fill_(HALF_SCALE)
    step(made)
    assert made.scale == HALF_SCALE


def test_nothing_waits_for_the_scale() -> None:
    made = task()
    made.attack = replace(made.attack, check=False)
    images, labels = batch(8, side=32)
    with NoWait():
        with torch.autocast("cpu", torch.float16):
            loss = made(images, labels)["loss"]
        loss.backward()
    assert made.scale == HALF_SCALE / 2


def test_checkpoints_of_timm_keep_the_scale() -> None:
    made, other = task(), task()
    step(made)
    state = made.get_checkpoint_state()
    other.load_checkpoint_state(**state)
    assert other.scale == made.scale != HALF_SCALE
    other.load_checkpoint_state(state["state_dict"])  # of a task without a scale
    assert other.scale == made.scale
