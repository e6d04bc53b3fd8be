"""Runs: the directory of a training run, with its checkpoints, metrics and results."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
