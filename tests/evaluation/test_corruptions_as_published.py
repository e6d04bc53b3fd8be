"""The corruptions beside the published code: imagecorruptions-imaug, or by the book where that differs."""

from pathlib import Path

import cv2
import imagecorruptions
import numpy as np
import pytest
import torch
from imagecorruptions.corruptions import plasma_fractal
from scipy import ndimage

from advprop.evaluation import corruption_parts as parts, corruptions
from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from advprop.evaluation.rng import Draws
from tests.evaluation.test_corruptions import draws, photographs

EVERY_PHOTOGRAPH = ("china", "flower", "astronaut", "chelsea", "coffee", "rocket")


def oracle(pictures, kind, severity):
    outputs = [imagecorruptions.corrupt(picture, severity, kind) for picture in pictures]
    return torch.from_numpy(np.stack(outputs)).permute(0, 3, 1, 2).float() / 255


def the_oracles_chance(monkeypatch, seed=0):
    """Seeds all it draws from: numpy's global state, and the fresh generators of impulse noise and glass."""
    chance = np.random.default_rng(seed)
    monkeypatch.setattr(np.random, "default_rng", lambda given=None: given or chance)
    np.random.seed(seed)


def roughness(images):
    """Energy of the differences of neighbours, for each image."""
    return sum(images.diff(dim=axis).square().mean((1, 2, 3)) for axis in (2, 3))


def at_its_own_size(monkeypatch, side):
    """Has lengths in pixels as published at another size too: the oracle scales none."""
    monkeypatch.setattr(corruptions, "_PUBLISHED_SIDE", side)
    monkeypatch.setattr(corruptions, "_SMALLEST_SCALE", 0)


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(
    ("kind", "mean", "largest"),
    [
        # The oracle cuts off to whole grey levels: up to 1/255, half of it on average.
        ("brightness", 0.003, 0.006),
        ("contrast", 0.003, 0.006),
        ("pixelate", 0.003, 0.008),
        ("jpeg_compression", 1e-6, 1e-6),
        ("defocus_blur", 0.005, 0.025),
    ],
)
def test_kinds_without_chance_agree_elementwise(kind, mean, largest, severity, side, monkeypatch):
    at_its_own_size(monkeypatch, side)
    pictures, images = photographs(side)
    apart = (corrupt(images, kind, severity) - oracle(pictures, kind, severity)).abs()
    assert apart.mean() < mean
    assert apart.max() < largest


@pytest.mark.parametrize(
    ("kind", "side", "band"),
    [
        ("gaussian_noise", 96, 0.02),
        ("gaussian_noise", 32, 0.02),
        ("shot_noise", 96, 0.02),
        ("shot_noise", 32, 0.02),
        ("impulse_noise", 96, 0.05),
        ("impulse_noise", 32, 0.08),
        ("glass_blur", 96, 0.05),
        ("glass_blur", 32, 0.05),
        ("motion_blur", 96, 0.1),
        ("motion_blur", 32, 0.1),
        ("zoom_blur", 96, 0.1),
        ("zoom_blur", 32, 0.25),  # the oracle zooms by whole pixels
        ("snow", 96, 0.12),
        ("snow", 32, 0.12),
        ("frost", 96, 0.25),  # at 32, the ferns of 224 are longer than the picture
        ("fog", 96, 0.15),
        ("fog", 32, 0.15),
    ],
)
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_random_kinds_agree_in_their_mean_change(kind, side, band, severity, monkeypatch):
    at_its_own_size(monkeypatch, side)
    the_oracles_chance(monkeypatch)
    pictures, images = photographs(side)
    times = 40 if side == 32 else 10
    ours = corrupt(images.repeat(times, 1, 1, 1), kind, severity).unflatten(0, (times, 2))
    theirs = torch.stack([oracle(pictures, kind, severity) for _ in range(times)])
    change, expected = ((outputs - images).abs().mean() for outputs in (ours, theirs))
    assert abs(change / expected - 1) < band
    assert abs(ours.std() / theirs.std() - 1) < band


@pytest.mark.parametrize("decay", [2.0, 1.4])
def test_fog_has_the_published_landscape(decay):
    np.random.seed(0)
    theirs = torch.from_numpy(np.stack([plasma_fractal(64, decay) for _ in range(200)]))
    ours = parts.plasma(draws(200), 64, 64, decay)[:, 0]
    for of in (lambda m: m.mean(), lambda m: m.std((1, 2)).mean(), lambda m: m.diff(dim=2).abs().mean()):
        assert of(ours) == pytest.approx(float(of(theirs)), rel=0.05)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_moves_and_blurs_as_the_published_one(severity):
    """With the random numbers of ours, the published way gives nearly our pixels, as changed and as sharp."""
    pictures, images = photographs(224, *EVERY_PHOTOGRAPH)
    ours = corrupt(images, "elastic_transform", severity)
    theirs = elastic_by_the_book(pictures, severity)
    assert (ours - theirs).abs().mean() < 0.01
    change, expected = ((outputs - images).abs().mean((1, 2, 3)) for outputs in (ours, theirs))
    torch.testing.assert_close(change, expected, rtol=0.01, atol=0)
    torch.testing.assert_close(roughness(ours), roughness(theirs), rtol=0.02, atol=0)


def elastic_by_the_book(pictures, severity):
    """The published elastic_transform, whose numbers the oracle changed: affine map, then displacement."""
    strength, sigma, shift = [
        (488, 170.8, 24.4),
        (488, 19.52, 48.8),
        (12.2, 2.44, 4.88),
        (17.08, 2.44, 4.88),
        (29.28, 2.44, 4.88),
    ][severity - 1]
    chance = Draws(0, CORRUPTIONS.index("elastic_transform"), torch.arange(len(pictures)))
    fields, offsets = (2 * chance.uniform(*shape).numpy() - 1 for shape in ((2, 224, 224), (3, 2)))
    corners = np.float32([[112 + 74, 112 + 74], [112 + 74, 112 - 74], [112 - 74, 112 - 74]])
    outputs = []
    for picture, field, offset in zip(pictures, fields, offsets, strict=True):
        matrix = cv2.getAffineTransform(corners, corners + shift * offset)
        warped = cv2.warpAffine(picture / 255, matrix, (224, 224), borderMode=cv2.BORDER_REFLECT_101)
        right, down = (ndimage.gaussian_filter(axis, sigma, mode="reflect", truncate=3) for axis in field)
        places = np.mgrid[:224, :224] + strength * np.stack([down, right])
        channels = (warped[..., c] for c in range(3))
        moved = [ndimage.map_coordinates(channel, places, order=1, mode="reflect") for channel in channels]
        outputs.append(torch.from_numpy(np.stack(moved)))
    return torch.stack(outputs).float()


# --- frost, which is drawn here -------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs_of_frost():
    """Pieces of the five photographs among which the published code draws, `[100, 3, 224, 224]`."""
    folder = Path(imagecorruptions.__file__).parent / "frost"
    chance = np.random.default_rng(0)
    pieces = []
    for name in ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg"):
        picture = cv2.imread(str(folder / name))[..., ::-1]
        for _ in range(20):
            top, left = (chance.integers(0, size - 224) for size in picture.shape[:2])
            pieces.append(picture[top : top + 224, left : left + 224])
    return torch.from_numpy(np.stack(pieces)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def panes():
    """Ours, `[198, 3, 224, 224]`."""
    return parts.ice(draws(198), 224, 224, 1.0)


@pytest.mark.slow
def test_frost_has_the_light_and_the_scale_of_structure_of_the_photographs(panes, photographs_of_frost):
    torch.testing.assert_close(panes.mean((0, 2, 3)), photographs_of_frost.mean((0, 2, 3)), rtol=0.05, atol=0)
    ours, theirs = (images.mean(1) for images in (panes, photographs_of_frost))
    assert ours.mean((1, 2)).std() == pytest.approx(float(theirs.mean((1, 2)).std()), rel=0.1)
    for lag in (1, 2, 4, 8, 16, 32, 64):
        found, expected = (
            (images[:, lag:] - images[:, :-lag]).square().mean()
            + (images[..., lag:] - images[..., :-lag]).square().mean()
            for images in (ours, theirs)
        )
        assert found == pytest.approx(float(expected), rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("severity", SEVERITIES)
def test_frost_is_as_strong_and_as_fine_as_published(severity, panes, photographs_of_frost, monkeypatch):
    monkeypatch.setattr(parts, "ice", lambda *_: panes)
    keep, ice = [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)][severity - 1]
    _, images = photographs(224, *EVERY_PHOTOGRAPH)
    ours = corrupt(images.repeat(33, 1, 1, 1), "frost", severity).unflatten(0, (33, 6))
    theirs = (keep * images + ice * photographs_of_frost[::4, None]).clamp(0, 1)
    change, expected = ((outputs - images).abs().mean() for outputs in (ours, theirs))
    assert change == pytest.approx(float(expected), rel=0.05)
    found, expected = (roughness(outputs.flatten(0, 1)).mean() for outputs in (ours, theirs))
    assert found == pytest.approx(float(expected), rel=0.05)
