import numpy as np
import pytest
from PIL import Image

from advprop.data.image_files import ENDINGS, in_channels


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_as_eight(channels, tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels).save(tmp_path / "8.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "16.png")
    eight, sixteen = (Image.open(tmp_path / name) for name in ("8.png", "16.png"))
    assert sixteen.mode.startswith("I;16")
    assert in_channels(sixteen, channels).tobytes() == in_channels(eight, channels).tobytes()
    assert len(in_channels(sixteen, channels).getbands()) == channels


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_range_that_nobody_knows_is_refused(mode):
    with pytest.raises(ValueError, match="its pixels have 32 bits"):
        in_channels(Image.new(mode, (2, 2)), 3)


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "LA", "CMYK"])
def test_other_pictures_are_read(mode):
    assert in_channels(Image.new(mode, (2, 2)), 1).mode == "L"
    assert in_channels(Image.new(mode, (2, 2)), 3).mode == "RGB"


def test_endings_are_those_that_pillow_reads():
    known = Image.registered_extensions()
    assert all(known[ending] in Image.OPEN for ending in ENDINGS)
