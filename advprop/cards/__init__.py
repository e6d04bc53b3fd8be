"""Model cards: the YAML of a model page read, listed, verified and made into programs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
