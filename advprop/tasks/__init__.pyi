from .adversarial import AdversarialTask as AdversarialTask
from .advprop import AdvPropTask as AdvPropTask
from .fast import FastAdvPropTask as FastAdvPropTask
from .standard import Source as Source, StandardTask as StandardTask
