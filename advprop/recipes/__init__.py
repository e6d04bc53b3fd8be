"""Recipes: the settings of a training run, from a card, a YAML file or the command line."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
