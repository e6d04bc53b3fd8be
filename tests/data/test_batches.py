from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from advprop.data.batches import Batches, TensorSet, digits


def count(size):
    """A set whose images are their own numbers."""
    return TensorSet(torch.arange(size, dtype=torch.float).view(-1, 1, 1, 1) / size, torch.arange(size))


def flat(lists):
    return list(chain.from_iterable(lists))


def order(batches, epoch=0, start=0):
    return [labels.tolist() for _, labels in batches.epoch(epoch, start)]


@pytest.mark.parametrize(("train_images", "seed"), [(200, 0), (200, 1), (10, 2), (1003, 3)])
def test_digits_are_split_by_class(train_images, seed):
    data = digits(train_images, seed)
    assert (len(data.train), len(data.test)) == (train_images, 1797 - train_images)
    sizes = data.train.labels.bincount()
    assert sizes.max() - sizes.min() <= 1
    assert data.class_names == tuple("0123456789")


def test_digits_are_pixels_that_train_and_test_do_not_share():
    data = digits()
    everything = torch.cat([data.train.images, data.test.images])
    assert everything.shape == (1797, *data.shape)
    assert (everything.min(), everything.max()) == (0, 1)
    from sklearn.datasets import load_digits

    expected = np.sort(load_digits().data.astype("float32") / 16, axis=0)
    np.testing.assert_array_equal(np.sort(everything.flatten(1).numpy(), axis=0), expected)


def test_the_split_is_a_function_of_the_seed():
    assert torch.equal(digits(seed=4).train.images, digits(seed=4).train.images)
    assert not torch.equal(digits(seed=4).train.images, digits(seed=5).train.images)


@pytest.mark.parametrize("train_images", [0, 9, 1731, 1797])
def test_a_split_without_an_image_of_some_class_is_refused(train_images):
    with pytest.raises(ValueError, match=rf"from 10 to 1730.*got {train_images}"):
        digits(train_images)


def test_an_epoch_has_each_image_once_in_a_new_order():
    batches = Batches(count(12), 4, seed=0)
    first, second = order(batches, 0), order(batches, 1)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(12))
    assert first != second
    assert first == order(batches, 0)
    assert order(Batches(count(12), 4, seed=1), 0) != first


@given(
    size=st.integers(1, 40),
    share=st.integers(1, 5),
    ranks=st.integers(1, 3),
    start=st.integers(0, 50),
    epoch=st.integers(0, 3),
)
def test_an_epoch_goes_on_from_anywhere_and_ranks_split_its_batches(size, share, ranks, start, epoch):
    images, batch_size = count(size), share * ranks
    if batch_size > size:
        with pytest.raises(ValueError, match=f"got {batch_size} for {size}"):
            Batches(images, batch_size, seed=3)
        return
    whole = order(Batches(images, batch_size, seed=3), epoch)
    assert len(whole) == size // batch_size
    parts = [order(Batches(images, batch_size, 3, rank, ranks), epoch, start) for rank in range(ranks)]
    assert [flat(some) for some in zip(*parts, strict=True)] == whole[start:]


@given(size=st.integers(1, 40), share=st.integers(1, 5), ranks=st.integers(1, 3))
def test_testing_sees_each_image_once_over_all_ranks(size, share, ranks):
    images = count(size)
    assert flat(order(Batches(images, share))) == list(range(size))
    for rank in range(ranks):
        batches = Batches(images, share * ranks, rank=rank, ranks=ranks)
        seen = flat(order(batches))
        assert seen == list(range(rank, size, ranks))
        assert len(order(batches)) == len(batches)


@pytest.mark.parametrize(("batch_size", "hint"), [(10, "9 would do"), (1, "3 would do"), (0, "3 would do")])
def test_a_batch_that_ranks_cannot_split_is_refused_with_the_numbers(batch_size, hint):
    with pytest.raises(ValueError, match=f"got {batch_size} over 3; {hint}"):
        Batches(count(20), batch_size, seed=0, ranks=3)


def test_bytes_become_pixels():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    (batch, labels), *_ = TensorSet(images, torch.arange(3)).to("cpu").batches(iter([[2, 1, 0]]))
    assert batch.flatten().tolist() == pytest.approx([1, 0.2, 0])
    assert labels.tolist() == [2, 1, 0]


def test_images_need_one_label_each():
    with pytest.raises(ValueError, match=r"got images \(3, 1, 8, 8\) and labels \(2,\)"):
        TensorSet(torch.rand(3, 1, 8, 8), torch.zeros(2))
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        TensorSet(torch.rand(3, 8, 8), torch.zeros(3))
