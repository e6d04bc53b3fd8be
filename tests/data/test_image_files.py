import numpy as np
import pytest
from PIL import Image

from advprop.data.image_files import ENDINGS, read_image


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_as_eight(channels, tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "8.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "16.png")
    eight, sixteen = (Image.open(tmp_path / name) for name in ("8.png", "16.png"))
    assert sixteen.mode.startswith("I;16")
    assert read_image(sixteen, channels).tobytes() == read_image(eight, channels).tobytes()
    assert len(read_image(sixteen, channels).getbands()) == channels


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_range_that_nobody_knows_is_refused(mode):
    with pytest.raises(ValueError, match="its pixels have 32 bits"):
        read_image(Image.new(mode, (2, 2)), 3)


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
    known = Image.registered_extensions()
    assert all(known[ending] in Image.OPEN for ending in ENDINGS)
