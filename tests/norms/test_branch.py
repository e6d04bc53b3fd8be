"""The branch in use: what chooses it, what is checked of a batch, and what copies of a model make of it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from advprop import AdvPropTask, add_aux_norm, remove_aux_norm, use_branch
from advprop.norms.route import in_backward_pass, in_reentrant_checkpoint
from advprop.norms.wrap import aux_norms
from tests.norms.test_wrap import stirred, through, tiny


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 32, 32)


COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "ema": lambda model: ModelEmaV3(model).module,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("branch", ["adv", {"main": 2, "adv": 4}], ids=str)
def test_a_copy_begins_at_the_main_branch(kind: str, branch: Any, images: Tensor) -> None:
    model = stirred(add_aux_norm(tiny()))
    with use_branch(model, branch):
        twin = COPIES[kind](model)
    with torch.no_grad():
        assert torch.equal(twin(images[:5]), through(model, images[:5], "main"))
    assert len({id(layer.route) for layer in aux_norms(twin)}) == 1
    assert torch.equal(through(twin, images, "adv"), through(model, images, "adv"))
    with pytest.raises(ValueError, match="make 2, and the batch is 6"):
        through(twin, images, {"main": 1, "adv": 1})


def test_fault_of_parts_that_only_divide_the_batch(images: Tensor) -> None:
    model = add_aux_norm(tiny())
    with pytest.raises(ValueError, match=r"\{'main': 1, 'adv': 1\} make 2, and the batch is 6; pass one"):
        through(model, images, {"main": 1, "adv": 1})
    through(model, images, {"main": np.int64(2), "adv": torch.tensor(4)})


def test_the_plain_model_that_is_back_checks_no_batch() -> None:
    model = nn.Sequential(add_aux_norm(tiny()))
    remove_aux_norm(model)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_made_plain_by_itself(kind: str, images: Tensor) -> None:
    model = add_aux_norm(tiny())
    remove_aux_norm(twin := COPIES[kind](model))
    assert not any(module._forward_pre_hooks for module in twin.modules())
    with pytest.raises(ValueError, match="make 2, and the batch is 6"):
        through(model, images, {"main": 1, "adv": 1})


def test_a_backward_pass_is_known_from_within() -> None:
    seen = []
    leaf = torch.ones(1, requires_grad=True)
    leaf.register_hook(lambda gradient: seen.append(in_backward_pass()))
    (2 * leaf).sum().backward()
    assert [in_backward_pass(), *seen] == [False, True]


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_reentrant_checkpoint_is_known_from_within(reentrant: bool) -> None:
    seen = []

    def passed(x: Tensor) -> Tensor:
        seen.append(in_reentrant_checkpoint())
        return x * x

    checkpoint(passed, torch.ones(1, requires_grad=True), use_reentrant=reentrant).sum().backward()
    assert seen == [False, reentrant]


def test_a_container_of_two_models_takes_and_leaves_a_branch_in_both() -> None:
    one, two = (stirred(add_aux_norm(nn.Sequential(nn.BatchNorm2d(3)).eval())) for _ in range(2))
    model = nn.Sequential(one, two)
    images = torch.rand(4, 3, 2, 2)
    main, adv = (two(one(images)), through(two, through(one, images, "adv"), "adv"))
    assert torch.equal(through(model, images, "adv"), adv)
    assert not torch.equal(main, adv)
    with use_branch(two, "adv"), use_branch(model, "main"):
        assert torch.equal(model(images), main)
    assert torch.equal(model(images), main)


@pytest.mark.parametrize("branch", [None, ("main", "adv"), 3])
def test_what_is_no_branch_is_refused(branch: Any) -> None:
    model = add_aux_norm(tiny())
    with (
        pytest.raises(ValueError, match="branch must be the name of one, or a mapping"),
        use_branch(model, branch),
    ):
        pass


@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")  # torch's own, on tracing
def test_no_graph_is_compiled_for_the_check_of_the_batch(images: Tensor) -> None:
    """One for the attack, one for the parts of a batch, however many steps there are."""
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    task = AdvPropTask(tiny())
    task.compile(backend=backend)
    for _ in range(4):
        task(images, torch.arange(6) % 5)["loss"].backward()
    assert len(graphs) == 2
    torch._dynamo.reset()
