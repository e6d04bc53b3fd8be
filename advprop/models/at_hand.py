"""Where pretrained weights are: on this machine already, or on the hub if it answers within seconds."""

import threading
from contextlib import suppress
from importlib.util import find_spec

import timm
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from timm.models import parse_model_name

from advprop.models.create import DOWNLOAD_ERRORS
from advprop.models.names import current_name
from advprop.models.photo_weights import package_of

_FILE = "model.safetensors"
_PATIENCE = 5.0  # seconds


def weights_at_hand(name: str, ask_hub: bool = False) -> str | None:
    """Where the pretrained weights of a model are, if they can be had without waiting.

    Args:
        name: Name of a model, old or current.
        ask_hub: Whether to ask the hub for weights that are not on this machine, and to fetch them if it
            answers. Without an answer within seconds, they are not at hand.

    Returns:
        Their place in words: this package, an installed package, the local cache of the hub, the hub, or the
        folder of a `local-dir:` name. None where they are not at hand, or the model has none.
    """
    source, folder = parse_model_name(name)
    if source == "local-dir":
        return f"the folder {folder}"
    try:
        config = timm.get_pretrained_cfg(current_name(name))
    except (ValueError, RuntimeError):
        return None
    if package := package_of(name):
        return "an installed package" if find_spec(package) else None
    repo = config.hf_hub_id if config and not config.hf_hub_filename else None
    if not repo:
        return "this package" if config and config.file else None
    if isinstance(try_to_load_from_cache(repo, _FILE), str):
        return "the local cache of the hub"
    return "the hub" if ask_hub and not constants.HF_HUB_OFFLINE and _fetched(repo) else None


def _fetched(repo: str) -> bool:
    """Whether the hub answers and its file has come; a thread asks, since a name may resolve slowly."""
    answered = threading.Event()

    def ask() -> None:
        with suppress(*DOWNLOAD_ERRORS):
            get_hf_file_metadata(hf_hub_url(repo, _FILE), timeout=_PATIENCE)
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    with suppress(*DOWNLOAD_ERRORS):
        if answered.is_set():
            hf_hub_download(repo, _FILE)
            return True
    return False
