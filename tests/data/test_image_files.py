import os

import numpy as np
import pytest
from PIL import Image

from advprop.data.image_files import ENDINGS, ImageReadError, printable, read_image, reading


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_as_eight(channels, tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "8.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "16.png")
    eight, sixteen = (Image.open(tmp_path / name) for name in ("8.png", "16.png"))
    assert sixteen.mode.startswith("I;16")
    assert read_image(sixteen, channels).tobytes() == read_image(eight, channels).tobytes()
    assert len(read_image(sixteen, channels).getbands()) == channels


@pytest.mark.parametrize(("mode", "kind"), [("I", "32-bit numbers"), ("F", "floats")])
def test_a_range_that_nobody_knows_is_refused(mode, kind):
    with pytest.raises(ValueError, match=f"its pixels are {kind}, and which of them is white is not known"):
        read_image(Image.new(mode, (2, 2)), 3)


@pytest.mark.parametrize(("largest", "dtype"), [(65535, ">u2"), (4095, ">u2"), (255, "u1"), (15, "u1")])
def test_gray_levels_of_pgm_are_shares_of_its_largest(largest, dtype, tmp_path):
    levels = np.arange(16).reshape(4, 4) * largest // 15
    (tmp_path / "x.pgm").write_bytes(f"P5 4 4 {largest}\n".encode() + levels.astype(dtype).tobytes())
    found = np.asarray(read_image(tmp_path / "x.pgm", 1))
    np.testing.assert_allclose(found, 255 * levels / largest, atol=1)


def test_numbers_with_a_sign_are_refused_for_what_they_are(tmp_path):
    Image.new("I;16", (4, 4), 1000).save(tmp_path / "signed.tif", tiffinfo={339: 2})
    with pytest.raises(ValueError, match="its pixels are 16-bit numbers with a sign"):
        read_image(tmp_path / "signed.tif", 1)


def test_a_photograph_is_turned_where_that_is_asked_for(tmp_path):
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the left
    image.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "x.png", 1)), np.asarray(image))
    turned = np.asarray(read_image(tmp_path / "x.png", 1, exif_orientation=True))
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("error", [RuntimeError("no such box"), IndexError(), OSError("cut off")])
def test_whatever_a_decoder_raises_is_an_image_that_cannot_be_read(error):
    with pytest.raises(ImageReadError, match=str(error) or "IndexError"), reading():
        raise error


def test_a_name_that_is_not_utf8_can_be_shown():
    assert printable(os.fsdecode(b"caf\xe9.png")) == r"caf\xe9.png"
    assert printable("caf\u00e9.png") == "caf\u00e9.png"


def test_heic_is_read(tmp_path):
    from pillow_heif import register_heif_opener

    register_heif_opener()
    Image.new("RGB", (64, 48), (200, 100, 30)).save(tmp_path / "x.heic", quality=100)
    assert np.abs(np.asarray(read_image(tmp_path / "x.heic", 3)) - [200, 100, 30]).max() < 9
    assert ".heic" in ENDINGS


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "CMYK"])
def test_other_pictures_are_read(mode):
    assert read_image(Image.new(mode, (2, 2)), 1).mode == "L"
    assert read_image(Image.new(mode, (2, 2)), 3).mode == "RGB"


def test_a_path_and_an_open_file_are_read_and_the_file_stays_open(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    with (tmp_path / "x.png").open("rb") as file:
        for source in (tmp_path / "x.png", str(tmp_path / "x.png"), file):
            np.testing.assert_array_equal(np.asarray(read_image(source, 3)), pixels)
        assert not file.closed


def test_endings_are_those_that_pillow_reads():
    from pillow_heif import register_heif_opener

    register_heif_opener()
    known = Image.registered_extensions()
    assert all(known[ending] in {*Image.OPEN, "MPO"} for ending in ENDINGS)  # which JPEG's opener reads
