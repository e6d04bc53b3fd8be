"""While a model is attacked as it is, compiled for example, no gradient of its weights is computed."""

import pytest
import timm
import torch
from torch import Tensor, nn

from advprop import PGD


def needs(model: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in model.parameters()]


@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")  # torch's own, on tracing
def test_a_compiled_model_computes_gradients_of_the_images_alone() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=10).train()
    model.conv1[0].weight.requires_grad_(False)
    before, asked = needs(model), []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        asked.append(sum(each.requires_grad for each in inputs if isinstance(each, Tensor)))
        return graph

    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([1, 2])
    attack = PGD(steps=2, random_start=False)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    compiled(images).sum().backward()
    assert attack(compiled, images, labels).equal(attack(model, images, labels))
    assert asked == [sum(before), 1]  # of a training step, and of both steps of the attack
    compiled(images).sum().backward()
    assert len(asked) == 2  # nothing is compiled again
    assert needs(model) == before
    assert before.count(False) == 1


def test_weights_need_gradients_after_an_attack_that_failed() -> None:
    model = timm.create_model("test_resnet", num_classes=10)
    model.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        PGD(steps=1)(model, torch.rand(2, 3, 32, 32), torch.tensor([1, 2]))
    assert all(needs(model))
