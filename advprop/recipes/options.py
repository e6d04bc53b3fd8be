"""The settings of a recipe by name, for type checkers and editors; `make format` writes this file."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from advprop.recipes.settings import Loss, Method, Precision, Target


class Options(TypedDict, total=False):
    """What `make_recipe` takes by name; a number of pixels may be a text such as `"4/255"`."""

    data: str
    data_dir: str | None
    download: bool
    train_split: str
    test_split: str
    test_share: float
    train_images: int
    classes: int | None
    channels: Literal[1, 3] | None
    image_size: int | None
    bad_images: Literal["stop", "skip"]
    workers: int
    prefetch_factor: int | None
    persistent_workers: bool
    scale: tuple[float, float] | None
    shift: int
    flip: float
    color_jitter: float
    auto_augment: str | None
    erase: float
    mixup: float
    cutmix: float
    aug_repeats: int
    crop_pct: float | None
    interpolation: Literal["bicubic", "bilinear", "nearest", "lanczos"] | None
    exif_orientation: bool
    model: str
    model_args: Mapping[str, Any]
    pretrained: bool
    weights: str | None
    freeze: tuple[str, ...]
    drop_rate: float | None
    drop_path_rate: float | None
    bn_momentum: float | None
    ema: float | None
    method: Method
    eps: float | str
    steps: int
    step_size: float | str | None
    target: Target
    norms: Literal["batch", "all"]
    share: float
    separate_passes: bool
    epochs: int
    batch_size: int
    accumulate: int
    opt: str
    lr: float
    lr_base_size: int | None
    momentum: float
    opt_args: Mapping[str, float]
    layer_decay: float | None
    fused: bool
    weight_decay: float
    sched: str
    warmup_epochs: float
    warmup_lr: float
    decay_epochs: float
    decay_milestones: tuple[float, ...]
    decay_rate: float
    loss: Loss
    bce_target_thresh: float | None
    label_smoothing: float
    clip_grad: float | None
    seed: int
    device: str
    precision: Precision
    tf32: bool
    channels_last: bool
    compile: bool
    grad_checkpointing: bool
    sync_batch_norm: bool
    threads: int | None
    test_every: int
    test_batch_size: int | None
    log_every: int
    save_every: int | None
    keep: int
    severities: tuple[int, ...]
