"""timm's loader for pixels in [0, 1]: what is erased is in range, and a wrong normalization is not hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_dataset, create_loader as create_timm_loader
from timm.data.random_erasing import RandomErasing
from timm.utils import random_seed
from torch import Tensor

from advprop.attacks import check_pixels
from advprop.data import PixelErasing, create_loader

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of timm's datasets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen images of noise, in two classes."""
    base = tmp_path_factory.mktemp("images")
    for number in range(16):
        pixels = np.random.RandomState(number).randint(0, 256, (32, 32, 3), dtype=np.uint8)
        path = base / "train" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return base


def epoch(folder: Path, make: Any, **settings: Any) -> Tensor:
    """The images of an epoch, by timm's loader or ours, with the same random numbers."""
    random_seed(0)
    dataset = create_dataset("", folder, split="train", is_training=True)
    options = {"is_training": True, "num_workers": 0, "device": CPU, "mean": MEAN, "std": STD} | settings
    return torch.cat([images for images, _ in make(dataset, (3, 32, 32), 8, **options)])


def denormalised(images: Tensor) -> Tensor:
    return images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)


@pytest.mark.parametrize("prefetcher", [True, False])
@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
def test_the_images_are_those_of_timms_loader_as_pixels(folder: Path, mode: str, prefetcher: bool) -> None:
    settings = {"re_prob": 0.5, "re_mode": mode, "re_count": 2, "use_prefetcher": prefetcher}
    settings |= {"auto_augment": "rand-m9-mstd0.5"}  # fills corners with the mean
    ours, theirs = (epoch(folder, make, **settings) for make in (create_loader, create_timm_loader))
    check_pixels(ours)
    pixels = denormalised(theirs)
    torch.testing.assert_close(ours, pixels.clamp(0, 1), atol=1e-5, rtol=0)
    assert mode != "pixel" or not 0 <= pixels.min() <= pixels.max() <= 1  # there was something to cut off


@pytest.mark.parametrize("prefetcher", [True, False])
def test_without_erasing_pixels_are_bytes_over_255(folder: Path, prefetcher: bool) -> None:
    images = epoch(folder, create_loader, is_training=False, crop_pct=1.0, use_prefetcher=prefetcher)
    bytes_ = images * 255
    torch.testing.assert_close(bytes_, bytes_.round(), atol=1e-4, rtol=0)
    assert images.min() == 0
    assert images.max() == 1


def test_sizes_that_change_by_batch_are_erased_too(folder: Path) -> None:
    sizes = {"input_size_choices": [16, 32], "num_batches": 4, "re_prob": 1.0, "re_mode": "pixel"}
    for prefetcher in (True, False):
        dataset = create_dataset("", folder, split="train", is_training=True)
        loader = create_loader(
            dataset,
            (3, 32, 32),
            4,
            is_training=True,
            num_workers=0,
            device=CPU,
            use_prefetcher=prefetcher,
            **sizes,
        )
        for images, _ in loader:
            check_pixels(images)


def test_augmentation_splits_are_refused(folder: Path) -> None:
    dataset = create_dataset("", folder, split="train", is_training=True)
    with pytest.raises(ValueError, match=r"splits .* got num_aug_splits=3; leave it out"):
        create_loader(dataset, (3, 32, 32), 8, is_training=True, num_aug_splits=3)


@pytest.fixture
def erasing() -> PixelErasing:
    random_seed(0)
    return PixelErasing(RandomErasing(1.0, mode="pixel", device="cpu"), MEAN, STD)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_not_erased_stays_to_the_last_bit(erasing: PixelErasing, dtype: torch.dtype) -> None:
    images = torch.full((8, 3, 32, 32), 0.3).to(dtype)
    erased = erasing(images)
    assert erased.dtype == dtype
    changed = (erased != images).any(1)
    assert all(0 < share < 0.5 for share in changed.float().mean((1, 2)))
    noise = erased.movedim(1, 0)[:, changed].float()
    torch.testing.assert_close(noise.mean(1), torch.tensor(MEAN), atol=0.02, rtol=0)
    torch.testing.assert_close(noise.std(1), torch.tensor(STD), atol=0.02, rtol=0)
    assert torch.equal(images, torch.full_like(images, 0.3))  # the caller's images are left alone


def test_a_wrong_normalization_is_not_hidden(erasing: PixelErasing) -> None:
    normalised = torch.randn(8, 3, 32, 32)
    with pytest.raises(ValueError, match=r"images must be pixels in \[0, 1\]"):
        check_pixels(erasing(normalised))


def test_gray_images_have_one_mean() -> None:
    erase = PixelErasing(RandomErasing(1.0, mode="const", device="cpu"), MEAN, STD)
    erased = erase(torch.ones(1, 1, 16, 16))
    assert erased.unique().tolist() == pytest.approx([sum(MEAN) / 3, 1.0])
