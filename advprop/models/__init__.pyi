from .convnet import ConvNet as ConvNet
from .create import (
    create_model as create_model,
    create_transform as create_transform,
    current_name as current_name,
    data_config as data_config,
    list_models as list_models,
    weights_from as weights_from,
)
