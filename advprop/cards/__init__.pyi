from .listing import (
    describe_card as describe_card,
    find_card as find_card,
    list_cards as list_cards,
    list_legend as list_legend,
)
from .model_index import (
    ModelCard as ModelCard,
    ModelIndex as ModelIndex,
    load_model_index as load_model_index,
)
from .snippets import snippet as snippet
from .timm_names import timm_name as timm_name
from .verification import run_verify as run_verify
