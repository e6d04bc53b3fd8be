"""The largest value, against torch's own norm of the same meaning."""

import math

import pytest
import torch

from advprop.runtime import largest_magnitude


@pytest.mark.parametrize("value", [-3.5, 1e30, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_that_of_the_norm(value: float, dtype: torch.dtype) -> None:
    tensors = [torch.full((2, 3), 0.5), torch.empty(0), torch.tensor([0.25, value, 1]).to(dtype)]
    found = largest_magnitude(tensors)
    wanted = torch.nn.utils.get_total_norm([each.float() for each in tensors if each.numel()], math.inf)
    assert found.shape == ()
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=0, equal_nan=True)


def test_of_nothing_it_is_zero() -> None:
    assert largest_magnitude([]) == largest_magnitude([torch.empty(0, 3)]) == 0
