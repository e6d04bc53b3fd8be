from .listing import (
    describe_card as describe_card,
    format_verification as format_verification,
    list_cards as list_cards,
    show as show,
)
from .model_card import Collection as Collection, ModelCard as ModelCard
from .model_index import (
    ModelIndex as ModelIndex,
    default_pages as default_pages,
    load_model_index as load_model_index,
    timm_name as timm_name,
)
from .page import (
    ModelIndexError as ModelIndexError,
    read_page as read_page,
    strip_model_index as strip_model_index,
)
from .snippets import snippet as snippet, snippet_names as snippet_names, snippets_of as snippets_of
from .timm_results import Result as Result, Results as Results, load_results as load_results
from .verification import (
    Check as Check,
    Verification as Verification,
    load_verification as load_verification,
    verify as verify,
)
