"""Settings that contradict each other, or that another setting is for."""

from advprop.recipes.settings import DataSettings, ModelSettings, OptimizerSettings

# What a model is made with that does not come from `model_args`, and where it comes from.
_NO_MODEL_ARGS = {
    **dict.fromkeys(("num_classes", "in_chans"), "follows from the data (--classes, --channels)"),
    "img_size": "follows from the images (--image-size)",
    "drop_rate": "is a setting of its own (--drop-rate)",
    "drop_path_rate": "is a setting of its own (--drop-path-rate)",
    **dict.fromkeys(("model_name", "pretrained"), "is a setting of its own (--model, --pretrained)"),
    **dict.fromkeys(
        ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
        "is about weights (--weights)",
    ),
}


def check_together(data: DataSettings, model: ModelSettings, optimizer: OptimizerSettings) -> None:
    """Raises ValueError if a setting can do nothing beside the others; a `Recipe` is all three."""
    if optimizer.bce_target_thresh is not None and optimizer.loss != "bce":
        raise ValueError(
            f"bce_target_thresh acts on binary cross-entropy alone, got {optimizer.bce_target_thresh:g} with "
            f"loss {optimizer.loss}; take that (--loss bce), or leave it out"
        )
    if data.prefetch_factor is not None and not data.workers:
        raise ValueError(
            "prefetch_factor needs processes that read images (--workers), got workers 0; "
            "take 1 or more, or leave it out"
        )
    for name in model.model_args:
        if name in _NO_MODEL_ARGS:
            raise ValueError(f"model_args must not have {name}, which {_NO_MODEL_ARGS[name]}; leave it out")
