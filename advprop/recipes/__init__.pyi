from .fractions import parse_fraction as parse_fraction, short_number as short_number
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
