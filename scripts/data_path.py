"""Images per second that reading gives alone, without a network: `.venv/bin/python -m scripts.data_path`.

The same photographs of ImageNet's usual size, as JPEG, lie in a folder, in an archive and in shards. They go
through the crops and changes of training to batches on the CPU; the clock is the wall's, since other
processes do the work. The first batches do not count: until they are there, the processes start.
"""

import argparse
import io
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from webdataset import ShardWriter

from advprop import make_recipe
from advprop.data import Batches, open_data
from advprop.models import data_config
from scripts.benchmark import command_of
from scripts.surroundings import ROOT, circumstances, write_record

RECORD = ROOT / "docs" / "measured" / "data_path.json"
CLASSES = 4
SIZE = (500, 375)  # width and height of most images of ImageNet, in pixels


def main(arguments: list[str] | None = None) -> int:
    """Measure, show and keep it; return the exit status."""
    parser = argparse.ArgumentParser(description="Images per second that reading gives alone.")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4, 8])
    parser.add_argument("--record", type=Path, default=RECORD, help="where to keep it")
    asked = parser.parse_args(arguments)
    if asked.images < 2 * asked.batch_size:
        least = 2 * asked.batch_size
        print(f"error: --images must be {least} or more, two batches; got {asked.images}", file=sys.stderr)
        return 2
    found = measure(asked.images, asked.batch_size, asked.workers)
    write_record(asked.record, found | {"command": command_of("data_path", arguments)})
    for form, rates in found["images_per_second"].items():
        print(form, *(f"{rate:8,.0f} with {workers} workers" for workers, rate in rates.items()), sep="\n")
    return 0


def measure(count: int, batch_size: int, workers: list[int]) -> dict[str, Any]:
    """Images per second of each form with each number of workers; JSON has these as strings."""
    writers = {"folder": write_folder, "tar": write_archive, "shards": write_shards}
    with tempfile.TemporaryDirectory() as folder:
        forms = {name: write(Path(folder, name), count) for name, write in writers.items()}
        rates = {
            name: {str(each): round(rate(data, batch_size, each), 1) for each in workers}
            for name, data in forms.items()
        }
    settings = {"images": count, "batch_size": batch_size, "pixels": list(SIZE)}
    return {**settings, "images_per_second": rates, **circumstances("cpu")}


def rate(data: str, batch_size: int, workers: int) -> float:
    """Images per second of an epoch's batches, but for the first."""
    asked = {"data": data, "batch_size": batch_size, "workers": workers, "image_size": 224}
    recipe = make_recipe(asked, model="resnet50", persistent_workers=False)
    batches = Batches(open_data(recipe, recipe, data_config("resnet50")).train, batch_size)
    begun, images = 0.0, 0
    for pixels, _ in batches.epoch(0):
        images += len(pixels) if begun else 0
        begun = begun or time.perf_counter()
    return images / (time.perf_counter() - begun)


def photographs(count: int) -> Iterator[tuple[str, int, bytes]]:
    """Name, class and JPEG of pictures with coarse and fine detail, as photographs have."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(generator.integers(256, size=(12, 16, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = generator.integers(-12, 13, size=pixels.shape, dtype=np.int16)
        file = io.BytesIO()
        Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        yield f"{number:06}", number % CLASSES, file.getvalue()


def write_folder(folder: Path, count: int) -> str:
    """Class folders in folders for training and for testing; return the value of `--data`."""
    for split, images in (("train", count), ("validation", CLASSES)):
        for name, label, content in photographs(images):
            file = folder / split / f"class{label}" / f"{name}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return str(folder)


def write_archive(folder: Path, count: int) -> str:
    """The same in one archive for each split."""
    folder.mkdir()
    for pictures in Path(write_folder(folder.with_name("packed"), count)).iterdir():
        with tarfile.open(folder / f"{pictures.name}.tar", "w") as archive:
            archive.add(pictures, arcname=pictures.name)
    return str(folder)


def write_shards(folder: Path, count: int) -> str:
    """Shards of WebDataset, with 256 images each."""
    folder.mkdir()
    for split, images in (("train", count), ("validation", CLASSES)):
        with ShardWriter(str(folder / f"{split}-%04d.tar"), maxcount=256, verbose=0) as shards:
            for name, label, content in photographs(images):
                shards.write({"__key__": name, "jpg": content, "cls": label})
    return f"wds/{folder}"


if __name__ == "__main__":
    sys.exit(main())
