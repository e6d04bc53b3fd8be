"""The layer in the place of a norm: passes that a backward pass repeats, and reads of its tensors."""

from __future__ import annotations

import re

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from advprop import PGD, AdvPropTask, FastAdvPropTask, add_aux_norm, use_branch
from advprop.norms.aux_norm import AuxNorm
from advprop.norms.branch import Branch
from advprop.norms.wrap import aux_norms
from tests.norms.test_wrap import stirred


def small_resnet(checkpointing: bool) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=5).double().eval()
    model.set_grad_checkpointing(checkpointing)
    return stirred(add_aux_norm(model))


def batch(size: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.rand(size, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return images, torch.arange(size) % 5


def gradients(model: nn.Module) -> list[Tensor | None]:
    found = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    return found


class TestGradientCheckpointing:
    """A backward pass repeats parts of the forward pass when the branch of that time was left long ago."""

    @pytest.mark.parametrize("branch", ["main", "adv", {"main": 1, "adv": 3}], ids=str)
    def test_gradients_are_those_without_it(self, branch: Branch) -> None:
        results = []
        for checkpointing in (False, True):
            model, (images, labels) = small_resnet(checkpointing), batch()
            with use_branch(model, branch):
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            results.append(gradients(model))
        torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)

    @pytest.mark.parametrize("kind", ["advprop", "fast"])
    def test_tasks_give_the_same_gradients_step_after_step(self, kind: str) -> None:
        results = []
        for checkpointing in (False, True):
            model, (images, labels) = small_resnet(checkpointing), batch(8)
            attack = PGD(steps=1, targeted=None, mode="train" if kind == "fast" else "eval")
            task = (FastAdvPropTask if kind == "fast" else AdvPropTask)(model, attack)
            for _ in range(2):
                torch.manual_seed(2)
                task(images, labels)["loss"].backward()
                results.append(gradients(model))
                with torch.no_grad():
                    model(images)
        torch.testing.assert_close(results[2:], results[:2], rtol=0, atol=0)

    def test_a_branch_after_another(self) -> None:
        results = []
        for checkpointing in (False, True):
            model, (images, labels) = small_resnet(checkpointing), batch()
            for branch in ("main", "adv", "main"):
                with use_branch(model, branch):
                    loss = F.cross_entropy(model(images), labels)
                loss.backward()
            results.append(gradients(model))
        torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)

    def test_two_branches_in_one_backward_pass_are_refused(self) -> None:
        model, (images, labels) = small_resnet(checkpointing=True), batch()
        loss = F.cross_entropy(model(images), labels)
        with use_branch(model, "adv"):
            loss = loss + F.cross_entropy(model(images), labels)
        message = "is one of [{'adv': 1}, {'main': 1}]; go backward after each forward pass"
        with pytest.raises(RuntimeError, match=re.escape(message)):
            loss.backward()

    @pytest.mark.parametrize("kind", [AdvPropTask, FastAdvPropTask])
    def test_a_step_whose_loss_is_dropped_does_not_disturb_the_next(self, kind: type[AdvPropTask]) -> None:
        model, (images, labels) = small_resnet(checkpointing=True), batch(8)
        attack = PGD(steps=1, targeted=None, mode="train" if kind is FastAdvPropTask else "eval")
        task = kind(model, attack)
        model(images)
        task(images, labels)
        task(images, labels)["loss"].backward()

    def test_reentrant_checkpoints_are_refused(self) -> None:
        """They take what came before them for their own branch."""
        model = stirred(add_aux_norm(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))))
        images = torch.rand(2, 3, 8, 8, requires_grad=True)
        model(images)
        with use_branch(model, "adv"):
            loss = checkpoint(model, images, use_reentrant=True).square().sum()
        with pytest.raises(RuntimeError, match="is not known; pass use_reentrant=False"):
            loss.backward()

    def test_compiled_without_a_graph_break(self) -> None:
        torch.compiler.reset()
        results = []
        for compiled in (False, True):
            model, (images, labels) = small_resnet(checkpointing=True), batch()
            run = torch.compile(model, backend="eager", fullgraph=True) if compiled else model
            with use_branch(model, {"main": 1, "adv": 3}):
                loss = F.cross_entropy(run(images), labels)
            loss.backward()
            results.append(gradients(model))
        torch.testing.assert_close(results[1], results[0])
        torch.compiler.reset()


class TestReads:
    """Code outside may read a norm's tensors; it gets those of the branch in use."""

    def test_of_the_branch_in_use(self) -> None:
        model = small_resnet(checkpointing=False)
        layer = next(aux_norms(model))
        for branch, norm in (("main", layer.main), ("adv", layer.aux["adv"])):
            with use_branch(model, branch):
                assert layer.weight is norm.weight
                assert layer.running_var is norm.running_var
                assert layer.num_features == norm.num_features

    @pytest.mark.parametrize(("separate", "own"), [("affine", "bias"), ("statistics", "running_mean")])
    def test_of_what_the_branches_share(self, separate: str, own: str) -> None:
        model = add_aux_norm(nn.Sequential(nn.BatchNorm2d(3)), separate=separate)
        layer: AuxNorm = model[0]
        with use_branch(model, "adv"):
            for name in ("bias", "running_mean"):
                norm = layer.aux["adv"] if name == own else layer.main
                assert getattr(layer, name) is getattr(norm, name)

    def test_of_several_branches_at_once_are_refused(self) -> None:
        model = small_resnet(checkpointing=False)
        layer = next(aux_norms(model))
        with use_branch(model, {"main": 2, "adv": 2}):
            assert layer.eps == layer.main.eps
            with pytest.raises(
                RuntimeError, match=r"reads `weight` of a norm .* through \{'main': 2, 'adv': 2\}"
            ):
                _ = layer.weight

    def test_a_fused_transformer_layer_takes_the_branch_in_use(self) -> None:
        """torch's fast path of evaluation never calls the norms of the layer, it reads their weights."""
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
        model = stirred(add_aux_norm(nn.Sequential(layer), norms="all"))
        tokens = torch.rand(3, 5, 8)
        for branch in ("main", "adv"):
            with use_branch(model, branch):
                expected = model(tokens)
                with torch.no_grad():
                    torch.testing.assert_close(model(tokens), expected)
        assert not torch.allclose(model(tokens), expected)
