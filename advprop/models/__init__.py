"""Models by name: timm's, by old and current names, and the networks of this package.

Importing this room registers `advprop_convnet`, `advprop_digits` and `tf_efficientnet_lite0.pypi_in1k` with
timm.
"""

import lazy_loader as lazy

from advprop.models import convnet as convnet
from advprop.models.photo_weights import register_tag

register_tag()

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
