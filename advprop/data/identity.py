"""Whether two ranks, or a run and its continuation, have the same images in the same order."""

import hashlib
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
    if isinstance(images, TensorSet):
        for each in (images.images, images.labels):
            digest.update(each.cpu().flatten().numpy().data)
    elif isinstance(images, LoadedSet):
        source: Any = images.samples.source
        names = getattr(getattr(source, "reader", source), "names", None)
        if isinstance(names, np.ndarray):
            digest.update(b"".join(names.tolist()))
            digest.update(np.cumsum([0, *map(len, names.tolist())], dtype="<i8").data)
        labels = labels_of(source)
        if labels is not None:
            digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()
