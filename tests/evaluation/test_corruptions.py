from io import BytesIO

import imagecorruptions
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits, load_sample_image

from advprop.evaluation import corruption_kinds as kinds, corruption_parts as parts
from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from advprop.evaluation.rng import Draws

NOISE = ("gaussian_noise", "shot_noise", "impulse_noise")
WITHOUT_CHANCE = ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression")
SHAPES = ((2, 1, 8, 8), (2, 3, 8, 11), (2, 3, 32, 32), (1, 1, 70, 33), (1, 3, 100, 224))


def photographs(side, *names):
    """Photographs, two of scikit-learn's unless named, and their pixels `[B, 3, side, side]`."""
    names = names or ("china", "flower")
    own = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    pictures = [own[name] if name in own else getattr(skimage.data, name)() for name in names]
    sizes = [min(picture.shape[:2]) for picture in pictures]
    corners = [Image.fromarray(p).crop((0, 0, size, size)) for p, size in zip(pictures, sizes, strict=True)]
    square = [np.array(corner.resize((side, side), Image.BICUBIC)) for corner in corners]
    return square, torch.from_numpy(np.stack(square)).permute(0, 3, 1, 2).float() / 255


def digits(count=20):
    return torch.from_numpy(load_digits().images[:count]).float()[:, None] / 16


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
