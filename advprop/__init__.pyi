__version__: str

from .attacks import FGSM as FGSM, GD as GD, IFGSM as IFGSM, PGD as PGD, PixelModel as PixelModel
from .cards import load_model_index as load_model_index
from .evaluation import (
    CORRUPTIONS as CORRUPTIONS,
    Accuracy as Accuracy,
    corrupt as corrupt,
    evaluate as evaluate,
    evaluate_attacks as evaluate_attacks,
    evaluate_corruptions as evaluate_corruptions,
    mce_alexnet as mce_alexnet,
    mean_corruption_error as mean_corruption_error,
)
from .figures import notebook_style as notebook_style, plot_runs as plot_runs
from .inference import (
    Guess as Guess,
    Prediction as Prediction,
    export_onnx as export_onnx,
    export_timm as export_timm,
    load_run as load_run,
    predict as predict,
)
from .models import (
    create_model as create_model,
    create_transform as create_transform,
    list_models as list_models,
)
from .norms import (
    add_aux_norm as add_aux_norm,
    branch_names as branch_names,
    branch_parameters as branch_parameters,
    remove_aux_norm as remove_aux_norm,
    use_branch as use_branch,
)
from .recipes import make_recipe as make_recipe
from .runtime import rank_share as rank_share
from .tasks import (
    AdversarialTask as AdversarialTask,
    AdvPropTask as AdvPropTask,
    FastAdvPropTask as FastAdvPropTask,
    StandardTask as StandardTask,
)
from .training import train as train
