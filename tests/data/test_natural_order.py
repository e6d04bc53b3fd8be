"""The fast sort has the very order of the plain one."""

import random

import pytest
from hypothesis import given, strategies as st

from advprop.data.natural_order import in_natural_order, natural_order

PARTS = st.sampled_from(["a", "B", "cat", "Cat", "1", "01", "10", "9", "_", " ", ".", "٣", "Σ", "ß"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("".join)
PATHS = st.builds("/".join, st.lists(NAMES, min_size=1, max_size=3))


@given(st.lists(PATHS, unique=True, max_size=12), st.sampled_from([".png", "", "1.jp2"]))
def test_any_paths_are_in_the_order_of_the_key(paths, ending):
    files = [path + ending for path in paths]
    assert in_natural_order(files) == sorted(files, key=natural_order)


@pytest.mark.parametrize(
    "names",
    [
        [f"n01440764_{number}.JPEG" for number in range(0, 3000, 7)],
        [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(300)],
        [f"{number}.{ending}" for number in range(120) for ending in ("png", "PNG", "jp2")],
        [f"{number:0{width}d}.png" for number in range(30) for width in (1, 2, 3)],
        ["only.png"],
        ["x.png", "x1.png", "x01.png", "X1.png"],
    ],
)
def test_folders_with_like_names_are_in_it(names):
    folders = ["n01440764", "n1440764", "cat", "Cat", "cat/night", "cat night", "cat-2", "cat/night/9", ""]
    paths = [f"{folder}/{name}" if folder else name for folder in folders for name in names]
    random.Random(0).shuffle(paths)
    assert in_natural_order(paths) == sorted(paths, key=natural_order)
    assert in_natural_order([]) == []
