"""One rule for what is an image, in attacks, corruptions and evaluations."""

from __future__ import annotations

import math
import re

import pytest
import torch

from advprop.attacks.pixels import check_pixels


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_pixels_pass_up_to_both_ends(dtype: torch.dtype) -> None:
    check_pixels(torch.tensor([0.0, 0.5, 1.0], dtype=dtype).view(1, 3, 1, 1).requires_grad_())
    check_pixels(torch.empty(0, 3, 8, 8, dtype=dtype))


CAUSES = (
    "normalization",
    "timm's loader or its prefetcher",
    "before mixup",
    "mean 0 and std 1",
    "0..255 (divide by 255)",
    "random erasing with noise (use advprop.data.create_loader)",
    "bicubic",
)


@pytest.mark.parametrize(
    ("value", "told"), [(-0.01, "from -0.01 to 0.5"), (1.01, "from 0.5 to 1.01"), (255.0, "from 0.5 to 255")]
)
def test_what_is_outside_is_told_with_every_cause(value: float, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"pixels in [0, 1], got values {told}; ")) as error:
        check_pixels(torch.tensor([0.5, value]).view(1, 2, 1, 1))
    message = str(error.value)
    assert "\n" not in message
    assert [cause for cause in CAUSES if cause not in message] == []


def test_pixels_that_are_no_numbers_have_other_causes() -> None:
    with pytest.raises(ValueError, match=r"got NaN") as error:
        check_pixels(torch.tensor([0.5, math.nan]).view(1, 2, 1, 1))
    assert "0..255" not in str(error.value)
