"""Random numbers of each image: their distributions, and that they do not depend on each other."""

import numpy as np
import pytest
import torch
from scipy import stats

from advprop.evaluation.rng import Draws
from tests.evaluation.test_corruptions import draws


def test_draws_follow_their_distributions():
    source = draws(3, seed=5)
    uniform, normal = source.uniform(100, 101), source.normal(100, 101)
    for image in range(3):
        assert stats.kstest(uniform[image].flatten().numpy(), "uniform").pvalue > 0.001
        assert stats.kstest(normal[image].flatten().numpy(), "norm").pvalue > 0.001
    assert 0 <= uniform.min() <= uniform.max() < 1


def test_draws_are_independent_between_images_calls_seeds_and_neighbours():
    one, two = draws(2), draws(2, seed=1)
    first, again, other = one.normal(10_000), one.normal(10_000), two.normal(10_000)
    rows = torch.cat([first, again, other, first.roll(1, 1), first.roll(5000, 1)])
    related = torch.corrcoef(rows) - torch.eye(len(rows))
    assert related.abs().max() < 0.05
    streams = [Draws(0, stream, torch.arange(1)).normal(10_000)[0] for stream in (0, 1)]
    assert torch.corrcoef(torch.stack(streams))[0, 1].abs() < 0.05


@pytest.mark.parametrize("mean", [0.0, 0.3, 5.0, 60.0])
def test_poisson_counts_follow_their_distribution(mean):
    counts = draws().poisson(torch.full((1, 20_000), mean), 60.0)[0].long()
    found = torch.bincount(counts, minlength=150)[:150].numpy() / 20_000
    expected = stats.poisson.pmf(np.arange(150), round(mean * 68) / 68)
    assert abs(found - expected).max() < 0.015
    assert found.sum() == pytest.approx(1)
