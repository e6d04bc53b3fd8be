from io import BytesIO

import cv2
import imagecorruptions
import numpy as np
import pytest
import torch
from imagecorruptions.corruptions import plasma_fractal
from PIL import Image
from scipy import ndimage, stats
from sklearn.datasets import load_digits, load_sample_image

from advprop.evaluation import corruption_kinds as kinds, corruption_parts as parts, corruptions
from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from advprop.evaluation.rng import Draws

NOISE = ("gaussian_noise", "shot_noise", "impulse_noise")
WITHOUT_CHANCE = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
SHAPES = ((2, 1, 8, 8), (2, 3, 8, 11), (2, 3, 32, 32), (1, 1, 70, 33), (1, 3, 100, 224))


def photographs(side):
    """Two photographs and their pixels `[2, 3, side, side]`."""
    pictures = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    square = [np.array(p.crop((0, 0, 427, 427)).resize((side, side), Image.BICUBIC)) for p in pictures]
    return square, torch.from_numpy(np.stack(square)).permute(0, 3, 1, 2).float() / 255


def digits(count=20):
    return torch.from_numpy(load_digits().images[:count]).float()[:, None] / 16


def oracle(pictures, kind, severity):
    outputs = [imagecorruptions.corrupt(picture, severity, kind) for picture in pictures]
    return torch.from_numpy(np.stack(outputs)).permute(0, 3, 1, 2).float() / 255


def the_oracles_chance(monkeypatch, seed=0):
    """Seeds all it draws from: numpy's global state, and the fresh generators of impulse noise and glass."""
    chance = np.random.default_rng(seed)
    monkeypatch.setattr(np.random, "default_rng", lambda given=None: given or chance)
    np.random.seed(seed)


def draws(count=1, seed=0):
    return Draws(seed, 0, torch.arange(count))


# --- every kind, every severity -----------------------------------------------------------------


def test_the_fifteen_kinds_are_the_published_ones_in_their_order():
    assert tuple(imagecorruptions.get_corruption_names("common")) == CORRUPTIONS


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_any_size_grey_or_colour_stays_in_range_and_changes(kind, shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    for severity in SEVERITIES:
        changed = corrupt(images, kind, severity)
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert 0 <= changed.min() <= changed.max() <= 1
        assert (changed - images).abs().mean() > 1e-3
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_digit_is_corrupted_visibly_but_stays_like_itself(kind):
    images = digits()
    changed = corrupt(images, kind, 1)
    assert ((changed - images).abs().amax((1, 2, 3)) > 2 / 255).float().mean() > 0.7
    alike = torch.corrcoef(torch.cat([images.flatten(1), changed.flatten(1)]))[:20, 20:]
    right = (alike.argmax(0) == torch.arange(20)).float().mean()
    assert right >= (0.3 if kind == "elastic_transform" else 0.9)  # which moves the whole digit


@pytest.mark.parametrize(
    "kind", [*NOISE, "defocus_blur", "motion_blur", "zoom_blur", "brightness", "contrast"]
)
def test_severity_rises_where_the_paper_has_it_rise(kind):
    _, images = photographs(64)
    change = [(corrupt(images, kind, severity) - images).abs().mean() for severity in SEVERITIES]
    assert change == sorted(change)
    assert change[-1] > 1.3 * change[0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_come_back_as_they_were(dtype):
    images = digits(4)
    changed = corrupt(images.to(dtype), "fog", 2)
    assert changed.dtype == dtype
    torch.testing.assert_close(changed.float(), corrupt(images, "fog", 2), atol=0.01, rtol=0)


def test_no_images_stay_no_images():
    assert corrupt(torch.rand(0, 3, 16, 16), "snow", 1).shape == (0, 3, 16, 16)


# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_an_image_does_not_depend_on_its_batch(kind):
    images = torch.rand(7, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    whole = corrupt(images, kind, 4, seed=3)
    pieces = [corrupt(images[i : i + 3], kind, 4, seed=3, first_index=i) for i in (0, 3, 6)]
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=0)
    odd = corrupt(images[1::2], kind, 4, seed=3, first_index=1, index_step=2)
    torch.testing.assert_close(odd, whole[1::2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_seed_and_index_matter_to_random_kinds_only(kind):
    images = digits(1).repeat(2, 1, 1, 1)
    first, other = corrupt(images, kind, 5), corrupt(images, kind, 5, seed=1)
    assert torch.equal(first, corrupt(images, kind, 5))
    assert torch.allclose(first, other) == (kind in WITHOUT_CHANCE)
    assert torch.allclose(first[0], first[1]) == (kind in WITHOUT_CHANCE)


def test_the_callers_random_state_is_neither_read_nor_moved():
    images = digits(2)
    torch.manual_seed(0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = [corrupt(images, kind, 3) for kind in CORRUPTIONS]
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(1)
    assert all(torch.equal(a, corrupt(images, kind, 3)) for a, kind in zip(first, CORRUPTIONS, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 + 5])
def test_any_whole_number_is_a_seed(seed):
    images = digits(1)
    assert not torch.equal(
        corrupt(images, "gaussian_noise", 1, seed=seed), corrupt(images, "gaussian_noise", 1)
    )


@pytest.mark.cuda
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_devices_agree(kind):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    _, images = photographs(64)
    there = corrupt(images.cuda(), kind, 3)
    assert there.is_cuda
    apart = (there.cpu() - corrupt(images, kind, 3)).abs()
    assert (apart > 1e-3).float().mean() < 1e-3  # a threshold may fall on the other side


# --- the published implementation, through imagecorruptions-imaug --------------------------------


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
def test_elastic_transform_moves_as_far_as_the_published_one(severity):
    strength, sigma, share = corruptions._KINDS["elastic_transform"][1][severity - 1]
    ours = _elastic_by_the_book(strength, sigma, share * 224, np.random.default_rng(0))
    _, images = photographs(224)
    theirs = (ours - images.repeat(6, 1, 1, 1)).abs().mean()
    change = (
        corrupt(images.repeat(6, 1, 1, 1), "elastic_transform", severity) - images.repeat(6, 1, 1, 1)
    ).abs()
    assert change.mean() == pytest.approx(float(theirs), rel=0.2)


def _elastic_by_the_book(strength, sigma, shift, rng):
    """The published elastic_transform, whose numbers the oracle changed: affine map, then displacement."""
    pictures, _ = photographs(224)
    outputs = []
    for picture in pictures * 6:
        corners = np.float32([[112 + 74, 112 + 74], [112 + 74, 112 - 74], [112 - 74, 112 - 74]])
        moved = corners + rng.uniform(-shift, shift, corners.shape).astype(np.float32)
        matrix = cv2.getAffineTransform(corners, moved)
        warped = cv2.warpAffine(picture / 255, matrix, (224, 224), borderMode=cv2.BORDER_REFLECT_101)
        field = [ndimage.gaussian_filter(rng.uniform(-1, 1, (224, 224)), sigma, truncate=3) for _ in "xy"]
        places = np.mgrid[:224, :224] + strength * np.stack(field)
        channels = [ndimage.map_coordinates(warped[..., c], places, order=1) for c in range(3)]
        outputs.append(torch.from_numpy(np.stack(channels)))
    return torch.stack(outputs).float()


# --- slow, obvious references --------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.3, 1, 2.2, 4])
def test_glass_passes_over_the_pixels_one_by_one(distance):
    height, width, reach = 23, 19, max(1, int(distance))
    source = draws()
    jump = (source.uniform(2, height, width)[0] * 2 * reach).long() - reach
    moves = source.uniform(height, width)[0] < distance
    shown = torch.arange(height * width).view(height, width)
    for h in range(height - reach, reach, -1):
        for w in range(width - reach, reach, -1):
            if moves[h, w]:
                shown[h, w] = shown[h + jump[0, h, w], w + jump[1, h, w]]
    assert torch.equal(parts.scrambled(draws(), height, width, distance).view(height, width), shown)


@pytest.mark.parametrize("degrees", [30.0, -45.0])
def test_a_trail_is_the_mean_of_shifted_pictures(degrees):
    angle, radius, sigma = torch.tensor([degrees]), 4.0, 3.0
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 20, 20] = 1
    weights = np.exp(-0.5 * (np.arange(9) / sigma) ** 2)
    expected = torch.zeros(41, 41)
    for step, weight in enumerate(weights / weights.sum()):
        down, right = (int(np.ceil(step * f(np.deg2rad(degrees)) - 0.5)) for f in (np.sin, np.cos))
        expected[20 - down, 20 - right] += weight
    blurred = parts.convolve(image, parts.trail(angle, radius, sigma), "replicate")
    torch.testing.assert_close(blurred[0, 0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.2, 1.5, 40.0])
def test_smooth_is_scipys_gaussian_filter(sigma):
    image = torch.rand(20, 33, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ndimage.gaussian_filter(image.numpy(), sigma, mode="reflect", truncate=4)
    torch.testing.assert_close(parts.smooth(image, sigma), torch.from_numpy(expected))


@pytest.mark.parametrize("size", [8, 30, 224])
@pytest.mark.parametrize("factor", [0.91, 0.6, 0.25])
def test_blocks_are_pils_box_filter(size, factor):
    image = np.random.default_rng(0).random((1, size), dtype=np.float32)
    small = Image.fromarray(image, "F").resize((int(size * factor), 1), Image.BOX)
    expected = torch.from_numpy(np.array(small.resize((size, 1), Image.NEAREST)))
    means = parts.block_means(size, factor, expected)
    torch.testing.assert_close(torch.from_numpy(image) @ means, expected)


def test_grey_jpeg_is_pils():
    images = digits(1)
    buffer = BytesIO()
    picture = Image.fromarray((images[0, 0] * 255).round().byte().numpy())
    picture.save(buffer, "JPEG", quality=86)  # quality 25 at a seventh of its coarseness
    assert torch.equal(
        corrupt(images, "jpeg_compression", 1)[0, 0] * 255,
        torch.from_numpy(np.array(Image.open(buffer))).float(),
    )


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "snow", "frost", "fog", "elastic_transform"])
def test_a_larger_picture_is_corrupted_by_the_same_share_of_its_side(kind):
    _, small = photographs(112)
    _, large = photographs(336)
    changes = [(corrupt(x.repeat(8, 1, 1, 1), kind, 3) - x.repeat(8, 1, 1, 1)).mean() for x in (small, large)]
    spreads = [corrupt(x.repeat(8, 1, 1, 1), kind, 3).std() for x in (small, large)]
    assert changes[0] == pytest.approx(float(changes[1]), abs=0.03)
    assert spreads[0] == pytest.approx(float(spreads[1]), rel=0.1)


def test_small_pictures_get_as_much_snow_and_as_wide_waves():
    dark = [torch.zeros(16, 1, side, side) for side in (32, 224)]
    small, large = (corrupt(images, "snow", 2).mean() for images in dark)
    assert small == pytest.approx(float(large), rel=0.25)
    waves = []
    for side in (112, 224):
        ramp = ((torch.arange(side) + 0.5) / side).expand(8, 1, side, side)
        waved = kinds.elastic_transform(ramp, draws(8), side / 224, 29.28, 2.44, 0.0)
        waves.append((waved - ramp)[..., 20:-20].std())
    assert waves[0] == pytest.approx(float(waves[1]), rel=0.1)


# --- random numbers ------------------------------------------------------------------------------


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


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "fogg"}, "there is no corruption 'fogg'; did you mean fog"),
        ({"kind": "gaussian"}, "did you mean gaussian_noise"),
        ({"severity": 0}, "from 1 to 5, got 0"),
        ({"severity": 6}, "from 1 to 5, got 6"),
        ({"severity": 2.0}, r"whole number from 1 to 5, got 2\.0"),
        ({"images": torch.full((1, 1, 8, 8), -0.5)}, r"\[0, 1\], got values from -0.5"),
        ({"images": torch.full((1, 1, 8, 8), 255.0)}, r"\[0, 1\], got values from 255"),
        ({"images": torch.full((1, 1, 8, 8), float("nan"))}, "got NaN"),
        ({"images": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)}, r"floats \[B, C, H, W\].*torch.uint8"),
        ({"images": torch.zeros(3, 8, 8)}, r"floats \[B, C, H, W\].*\(3, 8, 8\)"),
        ({"images": torch.zeros(1, 2, 8, 8)}, "one channel or three"),
        ({"images": torch.zeros(1, 1, 8, 7)}, r"at least 8 x 8 pixels, got \(8, 7\)"),
    ],
)
def test_errors_say_what_is_wrong(change, message):
    arguments = {"images": torch.rand(1, 1, 8, 8), "kind": "fog", "severity": 1} | change
    with pytest.raises(ValueError, match=message):
        corrupt(**arguments)


def test_the_check_of_pixels_can_be_left_out():
    assert corrupt(torch.full((1, 1, 8, 8), 2.0), "contrast", 1, check=False).max() == 1


def test_whole_numbers_of_numpy_are_whole_numbers():
    images = torch.rand(2, 3, 16, 16)
    expected = corrupt(images, "gaussian_noise", 3, seed=3)
    assert torch.equal(corrupt(images, "gaussian_noise", np.int64(3), seed=np.int64(3)), expected)
