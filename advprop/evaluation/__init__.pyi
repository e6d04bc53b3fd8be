from .accuracy import (
    Accuracy as Accuracy,
    mce_alexnet as mce_alexnet,
    mean_corruption_error as mean_corruption_error,
    wilson as wilson,
)
from .answers import Answers as Answers
from .corruptions import CORRUPTIONS as CORRUPTIONS, SEVERITIES as SEVERITIES, corrupt as corrupt
from .evaluator import (
    evaluate as evaluate,
    evaluate_answers as evaluate_answers,
    evaluate_attacks as evaluate_attacks,
    evaluate_corruptions as evaluate_corruptions,
)
