"""What two runs must have in common if one of them was killed: all but the times."""

import csv

import torch

from advprop.runs.checkpoints import load

_CLOCKS = ("seconds", "images_per_second")


def equal(one, other):
    """Whether two states are the same, bit for bit, the time aside."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return all(name == "seconds" or equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def of_step(run, step):
    """The checkpoint of a step: of two files, which a kill may leave, the later counts."""
    return load([path for path in run.checkpoints.paths() if path.name.startswith(f"step-{step:08d}-")][-1])


def records(run):
    """The records of a finished run, and its last and its best checkpoint."""
    with (run.directory / "epochs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = run.checkpoints.latest()
    return {
        "metrics": [_timeless(line) for line in run.metrics()],
        "epochs": [_timeless(row) for row in rows],
        "results": run.results()["clean"],
        "last": last,
        "best": of_step(run, last["best"]["step"]),
    }


def _timeless(values):
    return {name: value for name, value in values.items() if name not in _CLOCKS}
