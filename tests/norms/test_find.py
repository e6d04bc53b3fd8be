"""Which layers of a model are norms, and the models and layers that cannot have auxiliary ones."""

from __future__ import annotations

import inspect
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
import torch.distributed as dist
from timm.layers import convert_splitbn_model
from timm.layers.grn import GlobalResponseNorm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from advprop import AdvPropTask, FastAdvPropTask, add_aux_norm, branch_names, remove_aux_norm, use_branch
from advprop.norms.wrap import aux_norms
from tests.norms.test_wrap import stirred, through

# By name, not from the list itself: a kind that is lost from that would be lost here, too.
KINDS = {
    "torch.nn": (
        "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d "
        "LayerNorm GroupNorm RMSNorm"
    ),
    "torchvision.ops": "FrozenBatchNorm2d",
    "timm.layers.grn": "GlobalResponseNorm",
    "timm.layers": (
        "BatchNormAct2d SyncBatchNormAct FrozenBatchNormAct2d SplitBatchNorm2d GroupNorm GroupNorm1 "
        "GroupNormAct GroupNorm1Act LayerNorm LayerNorm2d LayerNormFp32 LayerNorm2dFp32 LayerNormAct "
        "LayerNormAct2d LayerNormActFp32 LayerNormAct2dFp32 RmsNorm RmsNorm2d RmsNormFp32 RmsNorm2dFp32 "
        "RmsNormAct RmsNormAct2d RmsNormActFp32 RmsNormAct2dFp32 SimpleNorm SimpleNorm2d SimpleNormFp32 "
        "SimpleNorm2dFp32 EvoNorm2dB0 EvoNorm2dB1 EvoNorm2dB2 EvoNorm2dS0 EvoNorm2dS0a EvoNorm2dS1 "
        "EvoNorm2dS1a EvoNorm2dS2 EvoNorm2dS2a FilterResponseNormTlu2d FilterResponseNormAct2d "
        "InplaceAbn"
    ),
}
NAMED = [(module, name) for module, names in KINDS.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), NAMED, ids=[".".join(pair) for pair in NAMED])
def test_every_kind_of_norm_is_found(module: str, name: str) -> None:
    kind = getattr(__import__(module, fromlist=[name]), name)
    affine = {"affine": True} if "affine" in inspect.signature(kind).parameters else {}
    norm = kind(2, 32) if name == "GroupNorm" and module == "torch.nn" else kind(32, **affine)
    model = nn.Sequential(norm)
    if "Frozen" in name:
        with pytest.raises(ValueError, match="1 norm layers are frozen"):
            add_aux_norm(model, norms="all")
    else:
        assert [layer.main for layer in aux_norms(add_aux_norm(model, norms="all"))] == [norm]


def test_batch_norms_are_those_whose_statistics_are_of_the_batch() -> None:
    norms = [nn.BatchNorm2d(4), nn.LayerNorm(4), nn.GroupNorm(1, 4), nn.InstanceNorm2d(4, affine=True)]
    assert [layer.main for layer in aux_norms(add_aux_norm(nn.Sequential(*norms)))] == norms[:1]


def test_global_response_norms_have_auxiliaries() -> None:
    model = stirred(add_aux_norm(timm.create_model("convnextv2_atto", num_classes=5).eval(), norms="all"))
    assert sum(isinstance(layer.main, GlobalResponseNorm) for layer in aux_norms(model)) == 12
    for layer in aux_norms(model):
        if isinstance(layer.main, GlobalResponseNorm):
            layer.aux["adv"].weight.data += 1
    images = torch.rand(2, 3, 32, 32)
    whole = [through(model, images, branch) for branch in ("main", "adv")]
    mixed = through(model, images, {"main": 1, "adv": 1})
    torch.testing.assert_close(mixed, torch.cat([whole[0][:1], whole[1][1:]]))


def test_norms_inside_a_norm_are_not_wrapped_by_themselves() -> None:
    model = convert_splitbn_model(timm.create_model("test_resnet", num_classes=5), 2).train()
    keys = list(model.state_dict())
    add_aux_norm(model)
    assert not any(list(aux_norms(part)) for layer in aux_norms(model) for part in (layer.main, layer.aux))
    for branch in ("main", "adv", {"main": 4, "adv": 4}):
        with use_branch(model, branch):
            assert model(torch.rand(8, 3, 64, 64)).isfinite().all()
    assert list(remove_aux_norm(model).state_dict()) == keys


# --- refusals -------------------------------------------------------------------------------------


@pytest.fixture
def one_rank() -> Iterator[None]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("make", [add_aux_norm, AdvPropTask, FastAdvPropTask])
def test_a_model_in_ddp_is_refused_and_left_as_it_is(
    make: Callable[[nn.Module], Any], one_rank: None
) -> None:
    model = DistributedDataParallel(timm.create_model("test_resnet", num_classes=5))
    with pytest.raises(
        ValueError, match=r"in DistributedDataParallel already, .* call task.prepare_distributed\(\)"
    ):
        make(model)
    assert branch_names(model) == ("main",)


class Block(nn.Module):
    """Attention and a norm, side by side."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.norm = nn.LayerNorm(8)


SEQUENCES: dict[str, Callable[[bool], nn.Module]] = {
    "TransformerEncoderLayer": lambda first: nn.TransformerEncoderLayer(8, 2, 16, batch_first=first),
    "TransformerDecoderLayer": lambda first: nn.TransformerDecoderLayer(8, 2, 16, batch_first=first),
    "Block": Block,
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_parts_of_a_batch_that_would_be_parts_of_sequences_are_refused(name: str) -> None:
    message = f"'1' ({name}) has batch_first=False; make it with batch_first=True"
    model = nn.Sequential(nn.BatchNorm1d(8), SEQUENCES[name](False))
    with pytest.raises(ValueError, match=re.escape(message)):
        add_aux_norm(model, norms="all")
    add_aux_norm(model)  # its batch norms are elsewhere
    add_aux_norm(nn.Sequential(SEQUENCES[name](True)), norms="all")


def test_a_model_that_is_a_norm_is_refused() -> None:
    with pytest.raises(
        ValueError, match=re.escape("is itself a norm layer, BatchNorm2d; pass nn.Sequential(")
    ):
        add_aux_norm(nn.BatchNorm2d(3))


def test_a_container_of_models_with_different_branches_is_refused() -> None:
    model = nn.Sequential(
        *(add_aux_norm(nn.Sequential(nn.BatchNorm2d(3)), (name,)) for name in ("adv", "aa"))
    )
    message = "models with different branches, ('main', 'adv') and ('main', 'aa'); give all of them the same"
    with pytest.raises(ValueError, match=re.escape(message)), use_branch(model, "adv"):
        pass
    with pytest.raises(ValueError, match=re.escape(message)):
        branch_names(model)


@pytest.mark.parametrize("name", [1, "training", "keys", None])
def test_branches_that_a_module_cannot_name_are_refused(name: Any) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match=f"a branch must be a word .* got {name!r}"):
        add_aux_norm(model, (name,))
