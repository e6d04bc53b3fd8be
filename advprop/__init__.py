"""AdvProp for any timm model: clean and adversarial images, each through its own batch norms."""

__version__ = "0.1.0"
