from .build import (
    build_branches as build_branches,
    build_model as build_model,
    build_optimizer as build_optimizer,
    build_schedule as build_schedule,
)
from .loop import Loop as Loop
from .parts import images_per_test as images_per_test
from .run import train as train
