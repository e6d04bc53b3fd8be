from .few_images import (
    AUTO as AUTO,
    AUTO_MODELS as AUTO_MODELS,
    FEW_IMAGES as FEW_IMAGES,
    defaults_by_data as defaults_by_data,
    small_folder as small_folder,
)
from .fractions import parse_fraction as parse_fraction, short_number as short_number, written as written
from .named import recipe_names as recipe_names
from .recipe import RECIPE_FILE as RECIPE_FILE, Recipe as Recipe, make_recipe as make_recipe
from .settings import (
    AugmentSettings as AugmentSettings,
    DataSettings as DataSettings,
    Method as Method,
    MethodSettings as MethodSettings,
    ModelSettings as ModelSettings,
    OptimizerSettings as OptimizerSettings,
    RunSettings as RunSettings,
)
