"""Whether two ranks, or a run and its continuation, have the same images in the same order."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from advprop.data.batches import ImageSet, TensorSet
from advprop.data.class_map import labels_of
from advprop.data.loaded_set import LoadedSet


def fingerprint(images: ImageSet) -> str:
    """A digest of the labels and the names of images, or of their pixels where those are in memory.

    Names are those in the folder of the data, so that the fingerprint is the same wherever that is.
    """
    digest = hashlib.sha256(str(len(images)).encode())
    for part in _parts(images):
        digest.update(part)
    return digest.hexdigest()


def _parts(images: ImageSet) -> Iterator[bytes | memoryview]:
    if isinstance(images, TensorSet):
        yield from (_bytes(each.cpu().contiguous().numpy()) for each in (images.images, images.labels))
    if isinstance(images, LoadedSet):
        source: Any = images.samples.source
        names = getattr(getattr(source, "reader", source), "names", None)
        if isinstance(names, np.ndarray):
            ends = np.cumsum([0, *map(len, names.tolist())], dtype="<i8")
            yield from (b"".join(names.tolist()), ends.tobytes())
        labels = labels_of(source)
        if labels is not None:
            yield _bytes(np.ascontiguousarray(labels))


def _bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array, without a copy."""
    return array.data.cast("B")
