"""Data: images and labels as batches of pixels in [0, 1], by name or from folders."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
