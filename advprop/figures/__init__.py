"""Figures: the style of the tutorials, and training runs drawn as curves."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
