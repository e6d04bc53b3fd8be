"""The list of a large folder is kept, used while nothing has changed, and never once anything has."""

import json
import logging
import os
import shutil
import time

import pytest

from advprop.data import image_tree, kept_lists
from advprop.data.class_folders import open_folders
from advprop.data.image_tree import find_image_files


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder that counts as large and has not changed for long, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_lists, "_LARGE", 4)
    monkeypatch.setattr(kept_lists, "_SETTLED", -1e9)
    for name in ("cat/1.png", "cat/night/2.png", "dog/10.png", "dog/9.png", "dog/notes.txt", "dog/.hidden"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    return tmp_path / "photos"


@pytest.fixture
def searched(monkeypatch):
    """The folders that were looked through."""
    seen = []
    monkeypatch.setattr(
        kept_lists, "find_image_files", lambda root: seen.append(root) or find_image_files(root)
    )
    return seen


def test_a_second_start_takes_the_list_with_all_it_says(photos, searched, caplog):
    first = open_folders(photos, every_class=True)
    told = caplog.text
    caplog.clear()
    again = open_folders(photos, every_class=True)
    assert len(searched) == 1
    assert again.files == first.files == ["cat/1.png", "cat/night/2.png", "dog/9.png", "dog/10.png"]
    assert again.targets.tolist() == first.targets.tolist()
    assert "1 .txt" in told
    assert caplog.text == told


CHANGES = {
    "an image more": lambda photos: (photos / "dog" / "11.png").touch(),
    "one deeper down": lambda photos: (photos / "cat" / "night" / "3.png").touch(),
    "an image less": lambda photos: (photos / "cat" / "1.png").unlink(),
    "another name": lambda photos: (photos / "cat" / "1.png").rename(photos / "cat" / "4.png"),
    "a folder more": lambda photos: (photos / "eel").mkdir(),
    "a folder moved": lambda photos: (photos / "cat" / "night").rename(photos / "dog" / "night"),
    "a folder replaced": lambda photos: (
        shutil.copytree(photos / "cat", photos.parent / "c")
        and (shutil.rmtree(photos / "cat"), (photos.parent / "c").rename(photos / "cat"))
    ),
    "an old time put back": lambda photos: _with_old_time(photos / "dog"),
}


def _with_old_time(folder):
    before = folder.stat()
    (folder / "12.png").touch()
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_found(change, photos, searched):
    kept_lists.listed(photos)
    time.sleep(0.02)  # longer than a tick of the file system
    CHANGES[change](photos)
    assert kept_lists.listed(photos).files == find_image_files(photos).files
    assert len(searched) == 2


def test_what_may_change_unseen_is_not_kept(photos, searched, monkeypatch):
    (photos / "cat" / "link.png").symlink_to(photos.parent / "elsewhere.png")
    kept_lists.listed(photos)
    kept_lists.listed(photos)
    (photos / "cat" / "link.png").unlink()
    monkeypatch.setattr(kept_lists, "_SETTLED", 10.0)  # changed just now: once more could have the same time
    kept_lists.listed(photos)
    kept_lists.listed(photos)
    monkeypatch.setattr(kept_lists, "_LARGE", 5)
    monkeypatch.setattr(kept_lists, "_SETTLED", -1e9)
    kept_lists.listed(photos)
    kept_lists.listed(photos)
    assert len(searched) == 6


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"states": 1}', None])
def test_a_damaged_list_is_not_used_and_a_cache_that_cannot_be_written_costs_nothing(text, photos, searched):
    kept_lists.listed(photos)
    (file,) = (photos.parent / "cache" / "advprop" / "lists").iterdir()
    if text is None:  # of a version that knew other formats
        text = json.dumps(json.loads(file.read_text()) | {"endings": [".png"]})
    file.write_text(text)
    assert len(kept_lists.listed(photos).files) == 4
    assert len(searched) == 2
    shutil.rmtree(photos.parent / "cache")
    (photos.parent / "cache").touch()
    assert len(kept_lists.listed(photos).files) == 4


def test_a_long_search_says_how_far_it_is(photos, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    find_image_files(photos)
    assert "so far" not in caplog.text
    monkeypatch.setattr(image_tree, "_FIRST", -1.0)
    find_image_files(photos)
    (said,) = [each.getMessage() for each in caplog.records]
    assert said.startswith(f"looking for images in {photos}: ")
