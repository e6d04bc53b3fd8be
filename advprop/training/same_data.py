"""Whether the ranks of a run, and the run that a state is of, have the same classes and images."""

from collections.abc import Mapping
from typing import Any

from advprop.data import Data, class_of, fingerprint
from advprop.runtime import World


def check_ranks(world: World, data: Data) -> str:
    """Raises ValueError unless all ranks have the same data; the fingerprint of the training images."""
    train = fingerprint(data.train)
    if world.ranks == 1:
        return train
    told = (
        f"{len(data.class_names)} classes ({', '.join(data.class_names[:5])}) of {len(data.train)} training "
        f"and {len(data.test)} test images"
    )
    found = world.gather((told, f"{data.class_names} {train} {fingerprint(data.test)}"))
    for rank, (other, exactly) in enumerate(found):
        if exactly != found[0][1]:
            differ = other if other != found[0][0] else "as many others"
            raise ValueError(
                f"all ranks must have the same data, got {found[0][0]} on rank 0, {differ} on rank {rank}"
            )
    return train


def check_resumed(state: Mapping[str, Any], data: Data, train_fingerprint: str, place: str) -> None:
    """Raises ValueError if the data are not those of a state: other classes or training images.

    What a state of an older version has not kept is taken as it is.
    """
    names, known = (tuple(map(class_of, each)) for each in (data.class_names, state["images"]["class_names"]))
    count, wanted = len(data.train), state.get("train_images")
    if names != known:
        other = sorted(set(names) ^ set(known)) or list(names)
        found = f"{len(names)} classes for {len(known)}, of which differ {', '.join(other[:5])}"
    elif wanted is not None and count != wanted:
        found = f"{count} training images for {wanted}"
    elif state.get("train_fingerprint") not in (None, train_fingerprint):
        found = f"{count} training images, some with other names, labels or pixels,"
    else:
        return
    raise ValueError(
        f"a run goes on with the data that it began with, got {found} in {place}; "
        "say where those are (--data), or begin a new run (--out)"
    )
