from .directory import (
    DIVISION as DIVISION,
    RECIPE as RECIPE,
    Run as Run,
    choose_directory as choose_directory,
)
from .metrics import Journal as Journal, Log as Log
from .report import Report as Report, report_table as report_table
from .summary import (
    Outcome as Outcome,
    attack_table as attack_table,
    corruption_table as corruption_table,
    mean_top1 as mean_top1,
    outcome_table as outcome_table,
)
