"""What an attack and its settings refuse, and the words in which they do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from advprop import FGSM, GD, IFGSM, PGD, FastAdvPropTask, PixelModel
from tests.reference import TinyNet, batch

IMAGES, LABELS = torch.rand(4, 3, 8, 8), torch.arange(4)
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "negative eps": (lambda: PGD(eps=-0.1), "eps must be 0 or more, got -0.1"),
    "infinite eps": (lambda: PGD(eps=math.inf), "eps must be 0 or more, got inf"),
    "nan eps": (lambda: PGD(eps=math.nan), "eps must be 0 or more, got nan"),
    "eps of 0..255": (lambda: PGD(eps=8), "measured in pixels of [0, 1], got 8; write 8/255"),
    "one eps of three": (lambda: PGD(eps=(0.1, 4.0, 0.1)), "write 4/255"),
    "l2 per channel": (lambda: PGD(eps=(1, 1, 1), norm="l2"), "eps for each channel needs norm='linf'"),
    "norm": (lambda: PGD(norm="l1"), "norm must be 'linf' or 'l2', got 'l1'"),
    "steps": (lambda: PGD(steps=-1), "steps must be a whole number, 0 or more, got -1"),
    "half a step": (lambda: PGD(steps=2.5), "steps must be a whole number, 0 or more, got 2.5"),
    "step_size": (lambda: PGD(step_size=-1.0), "step_size must be 0 or more, got -1.0"),
    "nan step_size": (lambda: PGD(step_size=math.nan), "step_size must be 0 or more, got nan"),
    "targeted": (lambda: PGD(targeted="true"), "targeted must be one of ('random', 'least_likely', None)"),
    "mode": (lambda: PGD(mode="test"), "mode must be one of ('eval', 'train'), got 'test'"),
    "fgsm per channel": (
        lambda: FGSM(eps=(0.1, 0.1, 0.1)),
        "a step of eps needs one number for eps, got (0.1, 0.1, 0.1); pass step_size",
    ),
    "no eps": (lambda: PGD(eps=None), "eps must be a number, or one for each channel, got None"),
    "eps in words": (lambda: PGD(eps="8/255"), "eps must be a number, or one for each channel, got '8/255'"),
    "eps of a tensor": (lambda: PGD(eps=torch.tensor(0.1)), "eps must be a number, or one for each channel"),
    "empty eps": (lambda: PGD(eps=()), "eps must be a number, or one for each channel, got ()"),
    "step_size per channel": (
        lambda: PGD(step_size=(0.1,) * 3),
        "step_size must be 0 or more, got (0.1",
    ),
    "labels of other classes": (
        lambda: PGD(targeted=None)(TinyNet(5), IMAGES, LABELS + 2),
        "labels must be classes from 0 to 4, as the model has them, got 2 to 5; number the classes from 0",
    ),
    "labels of other classes, random": (
        lambda: PGD(targeted="random")(TinyNet(5), IMAGES, LABELS + 50),
        "labels must be classes from 0 to 4, as the model has them, got 50 to 53",
    ),
    "labels of other classes, least likely": (
        lambda: PGD(targeted="least_likely", steps=1)(TinyNet(5), IMAGES, LABELS - 1),
        "labels must be classes from 0 to 4, as the model has them, got -1 to 2",
    ),
    "targets of other classes": (
        lambda: PGD()(TinyNet(5), IMAGES, LABELS, LABELS + 3),
        "targets must be classes from 0 to 4, as the model has them, got 3 to 6",
    ),
    "labels of other classes, Fast AdvProp": (
        lambda: FastAdvPropTask(TinyNet(5), share=0.5)(IMAGES, LABELS + 3),
        "labels must be classes from 0 to 4, as the model has them, got 5 to 6",
    ),
    "normalised images": (
        lambda: PGD()(TinyNet(), IMAGES * 4 - 2, LABELS),
        "images must be pixels in [0, 1], got values from -",
    ),
    "images of bytes": (
        lambda: PGD()(TinyNet(), (IMAGES * 255).byte(), LABELS),
        "pixels in [0, 1], got values",
    ),
    "nan images": (lambda: PGD()(TinyNet(), IMAGES * math.nan, LABELS), "in [0, 1], got NaN"),
    "whole numbers": (
        lambda: PGD()(TinyNet(), IMAGES.long(), LABELS),
        "images must be [B, C, H, W] of floats",
    ),
    "no batch": (lambda: PGD()(TinyNet(), IMAGES[0, 0, 0], LABELS), "images must be [B, C, H, W] of floats"),
    "fewer labels": (lambda: PGD()(TinyNet(), IMAGES, LABELS[:3]), "4 images need classes [B]"),
    "labels of floats": (lambda: PGD()(TinyNet(), IMAGES, LABELS.float()), "4 images need classes [B]"),
    "one-hot integers": (
        lambda: PGD()(TinyNet(), IMAGES, F.one_hot(LABELS)),
        "weights [B, classes] (floats)",
    ),
    "targets": (lambda: PGD()(TinyNet(), IMAGES, LABELS, LABELS[:2]), "targets must be 4 classes [B]"),
    "soft targets": (
        lambda: PGD()(TinyNet(), IMAGES, LABELS, LABELS.float()),
        "targets must be 4 classes [B]",
    ),
    "weights": (
        lambda: PGD(targeted=None)(TinyNet(5), IMAGES, torch.rand(4, 7)),
        "labels must have 5 weights",
    ),
    "weights, random": (
        lambda: PGD()(TinyNet(5), IMAGES, torch.rand(4, 7)),
        "must have 5 weights, as the logits",
    ),
    "weights, least likely": (
        lambda: PGD(targeted="least_likely")(TinyNet(5), IMAGES, torch.rand(4, 7)),
        "labels must have 5 weights, as the logits, got 7",
    ),
    "one class": (lambda: PGD(targeted="random")(TinyNet(1), IMAGES, LABELS * 0), "needs a wrong class"),
    "one class, least likely": (
        lambda: PGD(targeted="least_likely")(TinyNet(1), IMAGES, LABELS * 0),
        "a targeted attack needs a wrong class, and the model has only one; pass targeted=None",
    ),
    "channels": (
        lambda: PGD(eps=(0.1, 0.1))(TinyNet(), IMAGES, LABELS),
        "images with 3 channels need as many",
    ),
    "std of 0": (lambda: PixelModel(TinyNet(), 0.5, 0.0), "std over 0, got 0.5 and 0.0"),
    "mean for three, std for one": (
        lambda: PixelModel(TinyNet(), (0.5,) * 3, 0.5),
        "a value for each channel",
    ),
    "grey images": (
        lambda: PixelModel(TinyNet(), (0.5,) * 3, (0.5,) * 3)(IMAGES[:, :1]),
        "images have 1 channels, mean and std have 3; pass a mean and a std for these images",
    ),
}


@pytest.mark.parametrize(("cause", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_was_wrong(cause: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        cause()


def test_inference_mode_is_refused_with_the_way_out() -> None:
    model, (images, labels) = TinyNet(), batch()
    with (
        torch.inference_mode(),
        pytest.raises(RuntimeError, match=r"inference_mode\(\) forbids: use no_grad"),
    ):
        PGD()(model, images, labels)


def test_without_the_check_pixels_outside_the_range_are_the_callers_affair() -> None:
    adversarial = PGD(check=False)(TinyNet(), IMAGES * 2, LABELS)
    assert adversarial.max() <= 1


def test_without_the_check_no_class_is_looked_at() -> None:
    adversarial = PGD(check=False, targeted="random")(TinyNet(5), IMAGES, LABELS + 50)
    assert adversarial.isfinite().all()


@pytest.mark.parametrize("kind", [PGD, IFGSM, GD])
def test_numbers_of_numpy_are_numbers(kind: type[PGD]) -> None:
    attack = kind(eps=np.float32(0.1), step_size=np.float32(0.05), steps=np.int64(2), targeted=None)
    twin = kind(eps=float(np.float32(0.1)), step_size=float(np.float32(0.05)), steps=2, targeted=None)
    model = TinyNet()
    mine, yours = (
        a(model, IMAGES, LABELS, generator=torch.Generator().manual_seed(1)) for a in (attack, twin)
    )
    assert torch.equal(mine, yours)


def test_a_copy_with_another_eps_steps_by_that() -> None:
    attack = replace(FGSM(eps=1 / 255), eps=8 / 255)
    assert attack == FGSM(eps=8 / 255)
    images = torch.full((4, 3, 8, 8), 0.5)
    change = (attack(TinyNet(), images, LABELS) - images).abs()
    assert change.max().item() == pytest.approx(8 / 255)
    with pytest.raises(ValueError, match="a step of eps needs one number"):
        replace(attack, eps=(0.1, 0.1, 0.1))


def test_settings_are_frozen_and_by_keyword() -> None:
    with pytest.raises(AttributeError):
        PGD().eps = 0.1  # type: ignore[misc]
    with pytest.raises(TypeError):
        PGD(0.1)  # type: ignore[misc]
