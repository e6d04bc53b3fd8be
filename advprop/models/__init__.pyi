from .at_hand import weights_at_hand as weights_at_hand
from .configuration import (
    check_configured as check_configured,
    check_names as check_names,
    create_transform as create_transform,
    data_config as data_config,
    exif_orientation as exif_orientation,
    labels_by_name as labels_by_name,
    names_of_classes as names_of_classes,
)
from .convnet import ConvNet as ConvNet
from .create import create_model as create_model
from .guess import architecture_table as architecture_table
from .names import current_name as current_name, list_models as list_models
from .weight_files import weights_from as weights_from
