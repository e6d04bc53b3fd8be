"""AdvProp for any timm model: clean and adversarial images, each through its own batch norms.

Xie et al., "Adversarial Examples Improve Image Recognition", CVPR 2020, https://arxiv.org/abs/1911.09665
"""

from advprop.accuracy import Accuracy, mce_alexnet, mean_corruption_error
from advprop.attack import FGSM, GD, IFGSM, PGD
from advprop.behaviour import PixelModel
from advprop.branch import branch_parameters, use_branch
from advprop.cards import load_model_index
from advprop.corruptions import CORRUPTIONS, corrupt
from advprop.evaluate import evaluate, evaluate_attacks, evaluate_corruptions
from advprop.export import export_onnx, export_timm
from advprop.fast import FastAdvPropTask
from advprop.models import create_model, create_transform, list_models
from advprop.norm import add_aux_norm, branch_names, remove_aux_norm
from advprop.plot import plot_runs
from advprop.predict import Prediction, predict
from advprop.ranks import rank_share
from advprop.recipe import make_recipe
from advprop.saved import load_run
from advprop.style import notebook_style
from advprop.tasks import AdversarialTask, AdvPropTask, StandardTask
from advprop.trainer import train

__version__ = "0.1.0"

__all__ = [
    "CORRUPTIONS",
    "FGSM",
    "GD",
    "IFGSM",
    "PGD",
    "Accuracy",
    "AdvPropTask",
    "AdversarialTask",
    "FastAdvPropTask",
    "PixelModel",
    "Prediction",
    "StandardTask",
    "add_aux_norm",
    "branch_names",
    "branch_parameters",
    "corrupt",
    "create_model",
    "create_transform",
    "evaluate",
    "evaluate_attacks",
    "evaluate_corruptions",
    "export_onnx",
    "export_timm",
    "list_models",
    "load_model_index",
    "load_run",
    "make_recipe",
    "mce_alexnet",
    "mean_corruption_error",
    "notebook_style",
    "plot_runs",
    "predict",
    "rank_share",
    "remove_aux_norm",
    "train",
    "use_branch",
]
