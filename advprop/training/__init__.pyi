from .build import build_branches as build_branches, build_model as build_model
from .loop import Loop as Loop
from .run import train as train
