"""The parts of a run, each made from its recipe by timm, torch or this package."""

from typing import Any, Literal

import torch
from timm.data.mixup import Mixup
from timm.layers.norm_act import convert_sync_batchnorm
from timm.models import resolve_model_input_args
from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.scheduler_factory import create_scheduler_v2
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from advprop.attacks import PGD
from advprop.data import Augment, AutoAugmented, Data, Images, TensorSet
from advprop.models import create_model, current_name, data_config, weights_from
from advprop.norms import add_aux_norm, checkpoint_gradients
from advprop.recipes import Recipe
from advprop.runtime import brief, is_out_of_memory, nearest
from advprop.tasks import AdversarialTask, AdvPropTask, FastAdvPropTask, Source, StandardTask
from advprop.training.pretrained import begin_small, freeze_parts
from advprop.training.refusals import REFUSALS, options

# What a configuration says of the architecture, whatever the model is trained on.
_OF_ARCHITECTURE = ("architecture", "fixed_input_size", "min_input_size", "first_conv", "classifier")
# timm's schedules that go by optimizer steps, which is all of them but `plateau`.
SCHEDULES = ("cosine", "tanh", "step", "constant", "multistep", "poly", "wsd", "rsqrt", "none")
APART = ("advprop", "fine-grained")  # the methods whose branches can go through the model one after the other
# The auxiliary branches of each method.
_BRANCHES = {"advprop": ("adv",), "fine-grained": ("adv", "aug"), "fast": ("adv",)}


def build_model(recipe: Recipe, data: Images) -> nn.Module:
    """The plain model, for the channels, the size and the classes of the data; its configuration says so.

    Raises:
        ValueError: If there is no such model, it has no such part to freeze, or all is frozen.
    """
    name = current_name(recipe.model)
    wanted = resolve_model_input_args(name, {"input_size": data.shape})
    settings: dict[str, Any] = {
        "num_classes": len(data.class_names),
        "in_chans": data.shape[0],
        "img_size": wanted.get("img_size"),
        "drop_rate": recipe.drop_rate,
        "drop_path_rate": recipe.drop_path_rate,
        **recipe.model_args,
    }
    if recipe.weights:
        settings["pretrained_cfg_overlay"] = weights_from(recipe.weights, recipe.model)
    try:
        model = create_model(name, recipe.pretrained or bool(recipe.weights), **settings)
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        with_args = f" and with the arguments {recipe.model_args}" if recipe.model_args else ""
        or_args = ", or other arguments (--model-args)" if recipe.model_args else ""
        raise ValueError(
            f"the model {name} cannot be made for these data, of {len(data.class_names)} classes and "
            f"{' x '.join(map(str, data.shape))} pixels{with_args}: {brief(error)}; take "
            f"another model (--model), or another size (--image-size){or_args}"
        ) from error
    if recipe.bn_momentum is not None:
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = recipe.bn_momentum
    if recipe.pretrained or recipe.weights:
        begin_small(model, len(data.class_names))
    if recipe.freeze:
        freeze_parts(model, recipe.freeze)
    _configure(model, recipe, data)
    return model


def build_branches(recipe: Recipe, model: nn.Module) -> nn.Module:
    """The model with the auxiliary norms that its method trains.

    Raises:
        ValueError: If the method cannot train this model: it has no batch norms.
    """
    if recipe.method in _BRANCHES:
        frozen: Literal["error", "leave"] = "leave" if recipe.freeze else "error"
        try:
            add_aux_norm(model, _BRANCHES[recipe.method], norms=recipe.norms, frozen=frozen)
        except ValueError as error:
            raise ValueError(
                f"{options(recipe, 'method', 'norms')} cannot train {recipe.model}: {error}; on the command "
                "line, take --norms all or --method standard"
            ) from error
    return model


def build_attack(recipe: Recipe) -> PGD:
    """The attack that makes adversarial images.

    Raises:
        ValueError: If the method is fast and the attack is not.
    """
    if recipe.method == "fast" and (recipe.steps, recipe.target) != (1, "none"):
        raise ValueError(
            "--method fast attacks with one step away from the label (--steps 1 --target none), "
            f"got {options(recipe, 'steps', 'target')}"
        )
    step_size = recipe.step_size
    if step_size is None:
        step_size = recipe.eps / max(1, recipe.steps - 1)
    return PGD(
        eps=recipe.eps,
        steps=recipe.steps,
        step_size=step_size,
        targeted=None if recipe.target == "none" else recipe.target,
        mode="train" if recipe.method == "fast" else "eval",
        check=False,  # the trainer looks at the loss; the device need not wait for more
    )


def build_task(recipe: Recipe, model: nn.Module, classes: int, device: torch.device) -> StandardTask:
    """The task that trains the model, on the device.

    Raises:
        ValueError: If the method cannot train this model: it has no batch norms.
    """
    if recipe.separate_passes and recipe.method not in APART:
        known = " and ".join(APART)
        raise ValueError(f"--separate-passes is for {known}, got --method {recipe.method}; leave it out")
    model = build_branches(recipe, model)
    if recipe.sync_batch_norm:
        if device.type == "cpu":
            raise ValueError("--sync-batch-norm needs GPUs; leave it out on a CPU")
        model = convert_sync_batchnorm(model)
    if recipe.grad_checkpointing:
        checkpoint_gradients(model)
    form = torch.channels_last if recipe.channels_last else torch.preserve_format
    model = model.to(device).to(memory_format=form)
    mixup = _mixup(recipe, classes)
    settings: dict[str, Any] = {
        "mean": data_config(model)["mean"],
        "std": data_config(model)["std"],
        "mixup": mixup,
        "criterion_kwargs": {
            "loss_type": recipe.loss,
            "smoothing": recipe.label_smoothing if mixup is None else 0.0,  # mixup smooths the labels itself
            "soft_targets": mixup is not None,
            "bce_target_thresh": recipe.bce_target_thresh,
        },
        "device": device,
    }
    if recipe.method == "standard":
        return StandardTask(model, **settings)
    attack = build_attack(recipe)
    if recipe.method == "fast":
        return FastAdvPropTask(model, attack, share=recipe.share, **settings)
    if recipe.method == "adversarial":
        return AdversarialTask(model, attack, **settings)
    sources: dict[str, Source] = {"adv": attack, "aug": AutoAugmented()}
    used = {name: sources[name] for name in _BRANCHES[recipe.method]}
    return AdvPropTask(model, used, separate_passes=recipe.separate_passes, **settings)


def _mixup(recipe: Recipe, classes: int) -> Mixup | None:
    """Mixup and CutMix of timm; None without them."""
    if not recipe.mixup and not recipe.cutmix:
        return None
    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        label_smoothing=recipe.label_smoothing,
        num_classes=classes,
    )


def build_augment(recipe: Recipe, data: Data, model: nn.Module) -> Augment:
    """What changes batches on the device; images that were read from files are flipped already."""
    config = data_config(model)
    on_device = isinstance(data.train, TensorSet)
    return Augment(
        flip=recipe.flip if on_device else 0.0,
        shift=recipe.shift,
        erase=recipe.erase,
        mean=config["mean"],
        std=config["std"],
    )


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the model's parameters.

    Raises:
        ValueError: If there is no such optimizer, or it does not take these arguments.
    """
    settings: dict[str, Any] = {
        "opt": recipe.opt,
        "lr": recipe.scaled_lr,
        "weight_decay": recipe.weight_decay,
        "momentum": recipe.momentum,
        **({"fused": True} if recipe.fused else {}),
        **({"layer_decay": recipe.layer_decay} if recipe.layer_decay is not None else {}),
    }
    try:
        return create_optimizer_v2(model, **settings | recipe.opt_args)
    except (AssertionError, TypeError, ValueError) as error:
        known = list(map(str, list_optimizers()))
        hint = "" if recipe.opt.lower() in known else f"; {nearest(recipe.opt, known)}"
        raise ValueError(f"the optimizer {recipe.opt!r} cannot be made: {error}{hint}") from error


def build_schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> Scheduler | None:
    """The schedule of the learning rate, by optimizer step.

    Raises:
        ValueError: If there is no such schedule, or it does not take these settings.
    """
    if recipe.sched not in SCHEDULES:
        raise ValueError(f"there is no schedule {recipe.sched!r}; {nearest(recipe.sched, SCHEDULES)}")
    settings: dict[str, Any] = {
        "num_epochs": recipe.epochs,
        "warmup_epochs": recipe.warmup_epochs,
        "warmup_lr": recipe.warmup_lr,
        "decay_epochs": recipe.decay_epochs,
        "decay_milestones": recipe.decay_milestones,
        "decay_rate": recipe.decay_rate,
    }
    schedule: Scheduler | None
    schedule, _ = create_scheduler_v2(
        optimizer, recipe.sched, **settings, step_on_epochs=False, updates_per_epoch=steps_per_epoch
    )
    return schedule


def _configure(model: nn.Module, recipe: Recipe, data: Images) -> None:
    """Puts what is true of the model to be trained in the place of what was true of the pretrained one."""
    before = data_config(model)
    kept = (*_OF_ARCHITECTURE, *(("license",) if recipe.pretrained else ()))
    made: Any = model
    made.pretrained_cfg = made.default_cfg = {
        **{key: value for key, value in made.pretrained_cfg.items() if key in kept},
        "num_classes": len(data.class_names),
        "label_names": data.class_names,
        "input_size": data.shape,
        "crop_pct": data.crop_pct,
        "crop_mode": data.crop_mode,
        "interpolation": data.interpolation,
        **({"exif_orientation": True} if data.exif_orientation else {}),
        "mean": before["mean"],
        "std": before["std"],
    }
