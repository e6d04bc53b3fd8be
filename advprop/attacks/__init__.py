"""Adversarial images: PGD and its relatives, on models of pixels in [0, 1]."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
