"""AdvProp for any timm model: clean and adversarial images, each through its own batch norms.

Xie et al., "Adversarial Examples Improve Image Recognition", CVPR 2020, https://arxiv.org/abs/1911.09665

The public names are those of `__init__.pyi`; each is loaded when it is first used.
"""

import lazy_loader as lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
