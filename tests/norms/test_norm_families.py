"""Auxiliary norms over the families of timm that have batch norms, one small model of each."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from advprop import add_aux_norm, branch_names, remove_aux_norm, use_branch
from advprop.norms import constant_norms
from advprop.norms.aux_norm import AuxNorm
from advprop.norms.wrap import aux_norms

# Model and input size. Families over 25 million parameters are left out for the time they take.
FAMILIES = {
    "mobileone_s1": 64,
    "convmixer_768_32": 32,
    "cpubone_nano": 64,
    "cs3darknet_focus_s": 64,
    "cspnext_tiny": 64,
    "densenet121": 64,
    "dla46x_c": 64,
    "dpn48b": 64,
    "efficientformer_l1": 224,
    "efficientformerv2_s0": 224,
    "efficientnet_b0": 64,
    "tf_efficientnet_b0": 64,
    "efficientnetv2_rw_t": 64,
    "efficientvim_m1": 128,
    "efficientvit_b0": 64,
    "efficientvit_m0": 224,
    "fasternet_t0": 64,
    "fastvit_t8": 128,
    "ghostnet_050": 64,
    "hardcorenas_b": 64,
    "hgnetv2_b0": 64,
    "hrnet_w18_small": 64,
    "iformer_t": 64,
    "inception_next_atto": 64,
    "inception_v3": 96,
    "lcnetv2_small": 64,
    "levit_128s": 224,
    "lowformer_b0": 64,
    "coatnet_pico_rw_224": 224,
    "mobilenetv3_small_050": 64,
    "mobilevit_xxs": 64,
    "regnety_002": 64,
    "repghostnet_050": 64,
    "repvit_m1": 64,
    "res2next50": 64,
    "resnest14d": 64,
    "resnet10t": 64,
    "resnet18": 64,
    "resnetv2_18": 64,
    "rexnet_100": 64,
    "selecsls42": 64,
    "legacy_seresnet18": 64,
    "shvit_s1": 64,
    "skresnet18": 64,
    "starnet_s050": 64,
    "swiftformer_xs": 224,
    "test_byobnet": 64,
    "tiny_vit_5m_224": 224,
    "tresnet_m": 64,
    "visformer_tiny": 224,
    "ese_vovnet19b_slim_dw": 64,
    "legacy_xception": 96,
    "xception41p": 64,
    "xcit_nano_12_p8_224": 224,
}


# Without batch norm, for norms="all": tokens, windows and groups of them go through the norms as well.
OTHER_NORMS = {
    "coat_lite_tiny": 64,
    "convit_tiny": 64,
    "test_convnext": 64,
    "crossvit_tiny_240": 240,
    "edgenext_small": 64,
    "gcvit_xxtiny": 224,
    "test_mambaout": 64,
    "pit_ti_224": 64,
    "pvt_v2_b0": 64,
    "swin_s3_tiny_224": 224,
    "tnt_s_legacy_patch16_224": 64,
    "test_vit": 64,
}


def test_forty_families_and_more() -> None:
    modules = {timm.models.model_entrypoint(name).__module__ for name in FAMILIES}
    assert len(modules) >= 40


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name: str) -> None:
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=5).eval()
    images = torch.rand(3, 3, FAMILIES[name], FAMILIES[name])
    wrapped = add_aux_norm(copy.deepcopy(plain))
    assert branch_names(wrapped) == ("main", "adv")

    before = _logits(plain, images)
    assert before.isfinite().all()
    assert torch.equal(_logits(wrapped, images), before)

    _stir(wrapped)
    with use_branch(wrapped, "adv"):
        other = _logits(wrapped, images)
    assert not torch.allclose(other, before)
    with use_branch(wrapped, {"main": 2, "adv": 1}):
        mixed = _logits(wrapped, images)
    torch.testing.assert_close(mixed, torch.cat([before[:2], other[2:]]), rtol=1e-3, atol=1e-4)

    if name != "efficientnetv2_rw_t":  # stirred, it amplifies its input by 1e17, rounding included
        _check_constant(copy.deepcopy(wrapped).double(), images[:2].double())

    assert torch.equal(_train_step(wrapped, images), _train_step(plain, images))
    remove_aux_norm(wrapped)
    assert not any(isinstance(module, AuxNorm) for module in wrapped.modules())
    assert [type(m) for m in wrapped.modules()] == [type(m) for m in plain.modules()]
    state, expected = wrapped.state_dict(), plain.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", OTHER_NORMS)
def test_family_without_batch_norm(name: str) -> None:
    torch.manual_seed(0)
    size = OTHER_NORMS[name]
    plain = timm.create_model(name, num_classes=5, **_of_size(name, size)).eval()
    for parameter in plain.parameters():  # heads and gates that start at 0 would hide what comes before
        parameter.data += 0.02 * torch.randn_like(parameter)
    images = torch.rand(3, 3, size, size)
    wrapped = add_aux_norm(copy.deepcopy(plain), norms="all")
    before = _logits(plain, images)
    _stir(wrapped)
    assert torch.equal(_logits(wrapped, images), before)
    with use_branch(wrapped, "adv"):
        other = _logits(wrapped, images)
    assert not torch.allclose(other, before)
    with use_branch(wrapped, {"main": 2, "adv": 1}):
        mixed = _logits(wrapped, images)
    torch.testing.assert_close(mixed, torch.cat([before[:2], other[2:]]), rtol=1e-3, atol=1e-4)
    assert torch.equal(_train_step(wrapped, images), _train_step(plain, images))
    assert list(remove_aux_norm(wrapped).state_dict()) == list(plain.state_dict())


def _of_size(name: str, size: int) -> dict[str, int]:
    """What makes a model that has a size of its own take images of another."""
    wanted = timm.models.resolve_model_input_args(name, {"input_size": (3, size, size)})
    return {"img_size": wanted["img_size"]} if wanted.get("img_size") else {}


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits


def _check_constant(model: nn.Module, images: Tensor) -> None:
    """With norms that are constants logits and input gradients are the same but for rounding."""
    found = []
    with use_branch(model, "adv"):
        constant = constant_norms(model, images)
        assert constant is not model
        for each in (model, constant):
            leaf = images.clone().requires_grad_()
            logits = each(leaf)
            found.append((logits.detach(), *torch.autograd.grad(logits.square().mean(), leaf)))
    for expected, got in zip(*found, strict=True):
        assert (got - expected).abs().max() <= 1e-6 * expected.abs().max()


def _train_step(model: nn.Module, images: Tensor) -> Tensor:
    """Logits in training mode, which also moves the running statistics."""
    model.train()
    torch.manual_seed(1)
    out = model(images)
    logits: Tensor = out[0] if isinstance(out, tuple) else out
    return logits.detach()


def _stir(model: nn.Module) -> None:
    """Gives the auxiliary branch statistics and parameters of its own."""
    for layer in aux_norms(model):
        for tensor in (*layer.aux.parameters(), *layer.aux.buffers()):
            if tensor.is_floating_point():
                tensor.data += 0.3 * torch.rand_like(tensor)
