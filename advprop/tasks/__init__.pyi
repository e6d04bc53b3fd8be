from .fast import FastAdvPropTask as FastAdvPropTask
from .standard import (
    AdversarialTask as AdversarialTask,
    AdvPropTask as AdvPropTask,
    Source as Source,
    StandardTask as StandardTask,
)
