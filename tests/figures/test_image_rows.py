import pytest
import torch

from advprop.figures import plot_images


def test_each_image_is_above_its_caption_and_nothing_is_between():
    rows = {"red": torch.zeros(3, 3, 80, 100), "gray": torch.full((2, 1, 80, 100), 0.4)}
    rows["red"][:, 0] = 1.5  # clipped
    figure = plot_images(rows, {"gray": ["one", "two\nlines"]})
    [ax] = figure.axes
    [sheet] = ax.images
    pixels = sheet.get_array()
    assert figure.get_size_inches()[0] == pytest.approx(7)
    assert figure.get_size_inches()[1] == pytest.approx(7 * pixels.shape[0] / pixels.shape[1])
    opaque = pixels[pixels[..., 3] == 255]
    assert sorted({tuple(pixel) for pixel in opaque.tolist()}) == [(102, 102, 102, 255), (255, 0, 0, 255)]
    assert len(opaque) == 5 * 80 * 100
    assert pixels[pixels[..., 3] == 0].sum() == 0
    assert [text.get_text() for text in ax.texts] == ["red", "gray", "one", "two\nlines"]
    for text, left in zip(ax.texts[2:], (0, 105), strict=True):
        x, y = text.get_position()
        above = pixels[int(y) - 10, :, 3].nonzero()[0]
        assert x == left + 50
        assert {left, left + 99} <= set(above.tolist())


def test_small_images_stay_sharp_and_are_written(tmp_path):
    figure = plot_images({"digits": torch.rand(2, 1, 8, 8)}, out=tmp_path / "a.png")
    pixels = figure.axes[0].images[0].get_array()
    image = pixels[pixels[:, 0, 3] == 255][:, :64]
    assert image.shape == (64, 64, 4)
    assert (image.reshape(8, 8, 8, 8, 4) == image.reshape(8, 8, 8, 8, 4)[:, :1, :, :1]).all()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("rows", "captions", "told"),
    [
        ({"a": (2, 3, 8, 8), "b": (2, 3, 8, 9)}, {}, r"must have one size, got \(8, 8\), \(8, 9\)"),
        ({}, {}, "all images must have one size, got none"),
        ({"a": (2, 3, 8, 8)}, {"a": ["one"]}, "each image needs a caption, got 1 for 2 images of 'a'"),
        ({"a": (2, 3, 8, 8)}, {"b": ["one"]}, "each image needs a caption, got 1 for no images of 'b'"),
        ({"a": (2, 2, 8, 8)}, {}, r"images need 1 or 3 channels, got \[2, 2, 8, 8\] for 'a'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, captions, told):
    with pytest.raises(ValueError, match=told):
        plot_images({name: torch.rand(shape) for name, shape in rows.items()}, captions)
