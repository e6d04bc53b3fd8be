"""Training: the loop, its parts built from a recipe, and the run around it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
