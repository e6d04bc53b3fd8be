"""Gradient checkpointing: the same weights and running statistics as without it, bit for bit."""

import copy

import pytest
import timm
import torch
from torch.utils.checkpoint import checkpoint

from advprop import PGD, AdvPropTask, FastAdvPropTask, StandardTask, add_aux_norm
from advprop.models import create_model
from advprop.norms import checkpoint_gradients

TASKS = {
    "standard": StandardTask,
    "advprop": lambda model: AdvPropTask(model, PGD(steps=2, targeted="random")),
    "least likely": lambda model: AdvPropTask(model, PGD(steps=1, targeted="least_likely")),
    "fast": lambda model: FastAdvPropTask(model, share=0.25),
}


def trained(model, make_task, steps=2):
    """A copy of the model after some steps, and how many tensors its last forward pass kept."""
    task = make_task(copy.deepcopy(model)).train()
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9)
    kept = []
    for step in range(steps):
        torch.manual_seed(step)
        images, labels = torch.rand(8, 3, 64, 64), torch.randint(5, (8,))
        optimizer.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(1) or each, lambda each: each):
            loss = task(images, labels)["loss"]
        loss.backward()
        optimizer.step()
    return task.trainable_module.state_dict(), len(kept)


@pytest.mark.parametrize(
    ("method", "name", "norms"),
    [
        *((method, "test_resnet", "batch") for method in TASKS),
        ("advprop", "test_efficientnet", "batch"),
        ("advprop", "test_vit", "all"),
        ("advprop", "test_convnext", "all"),
    ],
)
def test_a_checkpointed_model_is_trained_to_the_same_bits(method, name, norms):
    size = {"img_size": 64} if name == "test_vit" else {}
    plain = timm.create_model(name, num_classes=5, drop_path_rate=0.2, **size)
    if method != "standard":
        add_aux_norm(plain, norms=norms)
    checkpointed = copy.deepcopy(plain)
    checkpoint_gradients(checkpointed)
    expected, kept = trained(plain, TASKS[method])
    found, kept_less = trained(checkpointed, TASKS[method])
    assert kept_less < kept
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_statistics_stay_where_the_repeated_pass_ends_inside_a_norm():
    model = timm.create_model("test_resnet").layer1
    model.set_grad_checkpointing = lambda enable: None
    checkpoint_gradients(model)
    before, images = copy.deepcopy(model).train(), torch.rand(4, 32, 8, 8, requires_grad=True)
    before(images)
    checkpoint(model.train(), images, use_reentrant=False).sum().backward()
    torch.testing.assert_close(model.state_dict(), before.state_dict(), rtol=0, atol=0)
    assert not any("_kept" in vars(module) for module in model.modules())


@pytest.mark.parametrize("name", ["advprop_convnet", "test_mambaout"])
def test_a_model_without_it_is_told(name, monkeypatch):
    model = create_model(name)
    if name == "test_mambaout":

        def refuse(enable):
            assert not enable, "gradient checkpointing not supported"

        monkeypatch.setattr(model, "set_grad_checkpointing", refuse, raising=False)
    with pytest.raises(ValueError, match=r"has no gradient checkpointing; .*--grad-checkpointing"):
        checkpoint_gradients(model)
