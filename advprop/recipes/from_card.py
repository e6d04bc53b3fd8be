"""The training recipe that a model's card states, as settings of a run.

What the card leaves open is filled in from the released code of the EfficientNets
(github.com/tensorflow/tpu, models/official/efficientnet): `main.py` for the schedule and the optimizer,
`efficientnet_builder.py` for dropout and stochastic depth.
"""

import re
from typing import Any

from advprop.cards import ModelCard, load_model_index

# What a card and a recipe have under the same names.
_SAME = ("epochs", "batch_size", "lr", "momentum", "image_size", "crop_pct", "interpolation")
# Dropout of EfficientNet-B0 to B8.
_DROPOUT = (0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5, 0.5)
_RELEASED: dict[str, Any] = {
    "sched": "step",
    "decay_epochs": 2.4,
    "decay_rate": 0.97,
    "warmup_epochs": 5,
    "warmup_lr": 0.0,
    "ema": 0.9999,
}
_OPTIMIZERS = {"RMSProp": "rmsproptf", "SGD with Momentum": "sgd", "AdamW": "adamw"}
_STOCHASTIC_DEPTH = 0.2
_RMSPROP_EPS = 0.001


def card_settings(name: str) -> dict[str, Any]:
    """The settings of a model's card.

    Raises:
        ValueError: If there is no such card (the message has the nearest names), or it states no recipe.

    Examples:
        >>> from advprop.recipes.from_card import card_settings
        >>> settings = card_settings("tf_efficientnet_b0_ap")
        >>> settings["lr"], settings["lr_base_size"], settings["bn_momentum"]
        (0.256, 2048, 0.01)
    """
    card = load_model_index().model(name)
    if card.training_techniques is None:
        raise ValueError(
            f"a recipe must be that of a card which states one, and how {card.name} was trained is not "
            f"known; name the model and choose the settings: model={card.name}"
        )
    settings = {name: getattr(card, name) for name in _SAME} | {
        "model": card.name,
        "method": "advprop" if "AdvProp" in card.training_techniques else "standard",
        "lr_base_size": card.batch_size,
        "weight_decay": card.weight_decay or 0.0,
        "label_smoothing": card.label_smoothing or 0.0,
        # TensorFlow states what is kept of the statistics, PyTorch what is new in them.
        "bn_momentum": None if card.batch_norm_momentum is None else round(1 - card.batch_norm_momentum, 6),
        **_techniques(card),
    }
    return {name: value for name, value in settings.items() if value is not None}


def _techniques(card: ModelCard) -> dict[str, Any]:
    """The settings of techniques that a card names without a number."""
    named = set(card.training_techniques or ())
    settings: dict[str, Any] = {
        "opt": next((opt for technique, opt in _OPTIMIZERS.items() if technique in named), None)
    }
    if "RMSProp" in named:
        settings["opt_args"] = {"alpha": card.rmsprop_decay, "eps": _RMSPROP_EPS}
    if "AutoAugment" in named:
        settings["auto_augment"] = "v0"
    if "Stochastic Depth" in named:
        settings["drop_path_rate"] = _STOCHASTIC_DEPTH
    if size := re.fullmatch(r"tf_efficientnet_b(\d)_\w+", card.name):
        settings |= _RELEASED | {"drop_rate": _DROPOUT[int(size[1])]}
    return settings
