"""Checks that weights are those of the model that they are loaded into; only head and channels may differ."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from advprop.models.configuration import config_of
from advprop.models.guess import guess, layers_of
from advprop.runtime import first_of

_ONE_AT_A_TIME = threading.RLock()


class WeightsError(RuntimeError):
    """Weights are of another architecture than the model; the message says what differs."""


@contextmanager
def complete_weights() -> Iterator[None]:
    """In this block, `load_state_dict` of a timm model raises a WeightsError unless the weights are complete.

    timm itself does not check that once the number of classes differs. Then the head may be missing or left
    over, the first convolution may be missing if it cannot be adapted to the channels, and nothing else.
    """
    plain, thread = nn.Module.load_state_dict, threading.get_ident()

    def load(model: nn.Module, state: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any:
        if threading.get_ident() != thread or not config_of(model):
            return plain(model, state, strict, assign)
        excused = frozenset() if strict else _adapted(model, state)
        try:
            found = plain(model, state, False, assign)
        except RuntimeError as error:  # a shape is another
            raise WeightsError(difference(model, state, excused) or str(error)) from error
        if not excused.issuperset((*found.missing_keys, *found.unexpected_keys)):
            raise WeightsError(difference(model, state, excused))
        return found

    with _ONE_AT_A_TIME:
        setattr(nn.Module, plain.__name__, load)
        try:
            yield
        finally:
            setattr(nn.Module, plain.__name__, plain)


def difference(model: nn.Module, state: Mapping[str, Tensor], excused: Collection[str] = ()) -> str:
    """Which weights, but for the excused, are missing, left over or of another shape; what they look like."""
    wanted, given = _shapes(model.state_dict()), _shapes(state)
    other = [name for name in wanted if name in given and given[name] != wanted[name]]
    parts = {
        "missing": [n for n in wanted if n not in given and n not in excused],
        "not in the model": [n for n in given if n not in wanted and n not in excused],
        "of another shape": [f"{n} {list(given[n])} instead of {list(wanted[n])}" for n in other],
    }
    told = [f"{len(names)} {what} ({first_of(names)})" for what, names in parts.items() if names]
    alike = guess(given)
    known = not alike or config_of(model).get("architecture") in alike
    return ", ".join(told) + ("" if known else f"; it looks like {' or '.join(alike)}")


def _shapes(state: Mapping[str, Tensor]) -> dict[str, Sequence[int]]:
    """The shapes of weights by name, but for the counters of batch norms, which older files lack."""
    return {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _adapted(model: nn.Module, state: Mapping[str, Tensor]) -> frozenset[str]:
    """The weights that may be missing or left over where classes or channels differ."""
    config, wanted = config_of(model), model.state_dict()
    parts, classifier = list(dict.fromkeys(map(_part, wanted))), layers_of(config, "classifier")
    free = set(map(_part, classifier))  # the head
    # Weights that timm has under the name of the model: some have another head besides, some have none.
    published = not any(config.get(key) for key in ("state_dict", "file", "source"))
    if published and not config.get("num_classes"):
        loaded = [number for number, part in enumerate(parts) if part in set(map(_part, state))]
        free.update(parts[max(loaded, default=len(parts)) + 1 :])
    if published or not any(f"{layer}.weight" in wanted for layer in classifier):  # or a model of features
        free.update(set(map(_part, state)).difference(parts))
    other_channels = getattr(model, "in_chans", None) not in (None, config["input_size"][0])
    stem = layers_of(config, "first_conv") if other_channels else ()
    return frozenset(n for n in (*wanted, *state) if _part(n) in free or n.rpartition(".")[0] in stem)


def _part(name: str) -> str:
    """The part of a model, its direct child, that a weight is in."""
    return name.partition(".")[0]
