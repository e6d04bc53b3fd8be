"""Training tasks, AdvProp among them: a batch of images and labels to one loss and its parts."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
