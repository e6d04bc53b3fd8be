"""AdvProp for any timm model: clean and adversarial images, each through its own batch norms.

Xie et al., "Adversarial Examples Improve Image Recognition", CVPR 2020, https://arxiv.org/abs/1911.09665
"""

from advprop.attack import FGSM, GD, IFGSM, PGD
from advprop.behaviour import PixelModel
from advprop.branch import branch_parameters, use_branch
from advprop.fast import FastAdvPropTask
from advprop.models import create_model, create_transform, list_models
from advprop.norm import add_aux_norm, branch_names, remove_aux_norm
from advprop.tasks import AdversarialTask, AdvPropTask, StandardTask

__version__ = "0.1.0"

__all__ = [
    "FGSM",
    "GD",
    "IFGSM",
    "PGD",
    "AdvPropTask",
    "AdversarialTask",
    "FastAdvPropTask",
    "PixelModel",
    "StandardTask",
    "add_aux_norm",
    "branch_names",
    "branch_parameters",
    "create_model",
    "create_transform",
    "list_models",
    "remove_aux_norm",
    "use_branch",
]
