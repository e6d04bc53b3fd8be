"""Models by name: timm's, by old and current names, and the networks of this package.

Importing this room registers `advprop_convnet` and `advprop_digits` with timm.
"""

import lazy_loader as lazy

from advprop.models import convnet as convnet

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
