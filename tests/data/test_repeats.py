"""Repeated augmentation takes the images of timm's sampler, and changes each anew."""

from itertools import chain

import numpy as np
import pytest
import torch
from timm.data.distributed_sampler import RepeatAugSampler

from advprop.data import Batches, images_per_epoch, open_data
from advprop.data.batches import TensorSet
from advprop.models import data_config
from advprop.recipes.recipe import make_recipe


def count(size):
    """A set whose images are their own numbers."""
    return TensorSet(torch.arange(size, dtype=torch.float).view(-1, 1, 1, 1) / size, torch.arange(size))


@pytest.mark.parametrize("repeats", [1, 3, 4])
@pytest.mark.parametrize(
    ("size", "ranks", "share"), [(1000, 1, 64), (1000, 4, 16), (700, 3, 8), (100, 2, 10)]
)
def test_an_epoch_is_that_of_timms_sampler(size, ranks, share, repeats, monkeypatch):
    order = np.random.default_rng((5, 2)).permutation(size)
    monkeypatch.setattr(torch, "randperm", lambda *args, **more: torch.from_numpy(order))
    for rank in range(ranks):
        batches = Batches(count(size), share * ranks, 5, rank, ranks, repeats)
        theirs = list(RepeatAugSampler(range(size), ranks, rank, num_repeats=repeats))
        steps = len(theirs) // share  # timm's loader drops what is left over
        assert len(batches) == steps == images_per_epoch(size, repeats) // (share * ranks)
        labels = [each.tolist() for _, each in batches.epoch(2)]
        assert list(chain.from_iterable(labels)) == theirs[: steps * share]
        assert [each.tolist() for _, each in batches.epoch(2, start=3)] == labels[3:]


def test_each_time_has_a_number_of_its_own_and_ranks_share_them():
    whole = list(chain.from_iterable(Batches(count(512), 64, 0, repeats=3).numbers(0)))
    assert len(set(whole)) == len(whole) == 512
    assert [number // 512 for number in whole[:6]] == [0, 1, 2, 0, 1, 2]
    assert len({number % 512 for number in whole[:3]}) == 1
    parts = [list(chain.from_iterable(Batches(count(512), 64, 0, r, 2, 3).numbers(0))) for r in range(2)]
    assert sorted(chain(*parts)) == sorted(whole)


def test_an_epoch_without_a_whole_batch_is_refused():
    with pytest.raises(ValueError, match="got 300 for 256"):
        Batches(count(300), 300, 0, repeats=3)


def test_an_image_that_is_read_again_is_changed_anew(digit_folders):
    recipe = make_recipe(data=str(digit_folders), workers=0, scale=(0.5, 1))
    images = open_data(recipe, recipe, data_config("advprop_convnet")).train
    (first, labels), (again, _) = images.batches(iter([[3, 4], [3 + len(images), 4 + len(images)]]), 0)
    assert not torch.equal(first, again)
    [(same, other)] = images.batches(iter([[3, 4 + len(images)]]), 0)
    assert torch.equal(same, torch.stack([first[0], again[1]]))
    assert torch.equal(other, labels)
