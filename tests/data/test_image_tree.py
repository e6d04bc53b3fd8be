"""Which files of a folder are images: every one once, in one order, and what is left out is told."""

import logging
import os
import random

import pytest
from timm.utils.misc import natural_key

from advprop.data.image_tree import find_image_files
from advprop.data.natural_order import natural_order


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"image")


def test_the_order_is_timms_with_the_name_to_break_ties():
    names = ["Banana", "apple", "class10", "class2", "class1", "a-1", "a1", "a01b", "é", "9"]
    assert sorted(names, key=natural_order) == sorted(names, key=natural_key)
    tied = ["A", "a", "1", "01", "a10", "a010", "A10"]
    shuffled = random.Random(0).sample(tied, len(tied))
    assert sorted(shuffled, key=natural_order) == ["01", "1", "A", "a", "A10", "a010", "a10"]
    assert sorted(["x²", "²", "①"], key=natural_order)  # digits to str.isdigit, but no numbers


def test_what_is_left_out_is_told(tmp_path, caplog):
    put(tmp_path, "cat/1.png", "cat/2.JPG", "cat/notes.txt", "cat/4.pfm", "cat/5.pfm", "README")
    put(tmp_path, ".DS_Store", "cat/._1.png", "cat/@eaDir/1.png", ".ipynb_checkpoints/1.png")
    tree = find_image_files(tmp_path)
    assert (tree.files, tree.folders) == (["cat/1.png", "cat/2.JPG"], ["cat"])
    with caplog.at_level(logging.WARNING):
        tree.left_out.report(tmp_path)
    [message] = caplog.messages
    assert f"left out of {tmp_path}: 4 files of other kinds (2 .pfm, " in message
    for told in ("1 .txt", "1 README", "1 @eaDir", "1 .DS_Store", "1 ._1.png", "1 .ipynb_checkpoints"):
        assert told in message


def test_nothing_is_told_of_a_tidy_folder(tmp_path, caplog):
    put(tmp_path, "cat/1.png")
    find_image_files(tmp_path).left_out.report(tmp_path)
    assert not caplog.messages


def test_heic_that_nothing_reads_is_told_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setattr("advprop.data.image_tree.ENDINGS", (".png",))
    put(tmp_path, "cat/1.heic")
    told = str(find_image_files(tmp_path).left_out)
    assert told == '1 file of other kinds (1 .heic; HEIC needs pip install "advprop[heic]")'


@pytest.mark.parametrize("name", ["cat", "zebra"])
def test_links_are_followed_and_a_link_back_adds_nothing(tmp_path, name):
    put(tmp_path / "store", f"{name}/1.png", f"{name}/deep/2.png")
    put(tmp_path / "data", "dog/1.png")
    (tmp_path / "data" / name).symlink_to(tmp_path / "store" / name)
    (tmp_path / "data" / "dog" / "all").symlink_to("..")
    (tmp_path / "data" / "dog" / "again.png").symlink_to("1.png")
    tree = find_image_files(tmp_path / "data")
    assert sorted(tree.files) == sorted([f"{name}/1.png", f"{name}/deep/2.png", "dog/1.png"])
    assert str(tree.left_out) == "2 links to what is there already (dog/all, dog/again.png)"


def test_a_link_to_another_class_takes_nothing_from_it(tmp_path):
    put(tmp_path, "dog/1.png", "cat/1.png")
    (tmp_path / "cat" / "more").symlink_to(tmp_path / "dog")
    assert find_image_files(tmp_path).files == ["cat/1.png", "dog/1.png"]


def test_links_to_files_elsewhere_count_once_each(tmp_path):
    put(tmp_path / "store", "1.png")
    put(tmp_path / "data", "cat/0.png")
    for name in ("b.png", "a.png"):
        (tmp_path / "data" / "cat" / name).symlink_to(tmp_path / "store" / "1.png")
    (tmp_path / "data" / "cat" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    tree = find_image_files(tmp_path / "data")
    assert tree.files == ["cat/0.png", "cat/a.png", "cat/lost.png"]
    assert tree.left_out.links == ["cat/b.png"]


def test_names_that_are_not_utf8_are_found_and_told(tmp_path):
    put(tmp_path, os.fsdecode(b"cat/caf\xe9.png"), os.fsdecode(b"cat/caf\xe9"))
    tree = find_image_files(tmp_path)
    assert [os.fsencode(each) for each in tree.files] == [b"cat/caf\xe9.png"]
    assert r"1 caf\xe9" in str(tree.left_out)
