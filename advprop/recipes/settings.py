"""The settings of a run in groups, as the recipe holds them and the command line shows them."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from advprop.recipes.fractions import Pixels

Method: TypeAlias = Literal["advprop", "fine-grained", "fast", "adversarial", "standard"]
Target: TypeAlias = Literal["random", "least_likely", "none"]
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
Loss: TypeAlias = Literal["ce", "bce"]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """What to train on.

    Args:
        data: Where the images are: `digits` (comes with the package), a folder with a folder for each split
            and in it one for each class, or what timm reads: `torch/fashion_mnist`, `hfds/...`, `wds/...` for
            shards in a folder.
        data_dir: Folder that holds the data of that name.
        download: Download the data if they are not there.
        train_split: Name of the split, or of the folder, with the training images.
        test_split: Name of the split, or of the folder, with the test images.
        test_share: Share of the images that are for testing, where a folder has class folders and no splits.
        train_images: Number of training images of the digits; the others are for testing.
        classes: Number of classes, where the data do not tell, or have images of fewer.
        channels: Channels of an image, 1 or 3; none: as the data have it.
        image_size: Height and width of an image; none: as the data have it, or else the model.
        bad_images: What to do about an image that cannot be read.
        workers: Processes that read images, for each device, at most one for each processor.
        prefetch_factor: Batches that each of these processes reads ahead; none: 2, as torch does.
        persistent_workers: Keep these processes from one epoch to the next.
    """

    data: str = "digits"
    data_dir: str | None = None
    download: bool = False
    train_split: str = "train"
    test_split: str = "validation"
    test_share: float = 0.2
    train_images: int = 200
    classes: int | None = None
    channels: Literal[1, 3] | None = None
    image_size: int | None = None
    bad_images: Literal["stop", "skip"] = "stop"
    workers: int = 4
    prefetch_factor: int | None = None
    persistent_workers: bool = True


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How images are changed before they are trained on.

    Args:
        scale: Smallest and largest share of an image that a random crop takes; none: no random crop, which
            is the default of the digits and of torchvision's sets of small images.
        shift: Pixels by which images move at random.
        flip: Probability of a horizontal flip.
        color_jitter: Strength of random changes of brightness, contrast and saturation.
        auto_augment: One of timm's policies: `original`, `rand-m9-mstd0.5`, `augmix-m3-w3`.
        erase: Probability that a rectangle of an image is erased.
        mixup: Alpha of mixup of the clean images; 0: none.
        cutmix: Alpha of CutMix of the clean images; 0: none.
        aug_repeats: Times that an epoch has each of its images, changed anew each time, and so many times
            fewer images (repeated augmentation); 0: every image once.
        crop_pct: Share of the resized image that its center crop takes in tests; none: the model's.
        interpolation: How images are resized; none: the model's way.
        exif_orientation: Turn photographs as their cameras noted (EXIF), in training, tests and predictions;
            timm does not.
    """

    scale: tuple[float, float] | None = (0.08, 1.0)
    shift: int = 0
    flip: float = 0.5
    color_jitter: float = 0.4
    auto_augment: str | None = None
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    aug_repeats: int = 0
    crop_pct: float | None = None
    interpolation: Literal["bicubic", "bilinear", "nearest", "lanczos"] | None = None
    exif_orientation: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What to train.

    Args:
        model: Name of a model: `advprop_convnet`, any of timm's, or `local-dir:` and the folder of one. On
            the command line also `auto`: an EfficientNet whose pretrained weights are at hand.
        model_args: More arguments of the model, such as `global_pool max`.
        pretrained: Start from the pretrained weights of that name, with a new last layer.
        weights: Start from the weights in this file, with a new last layer if it has other classes.
        freeze: Parts of the model that are not trained, such as `conv1 bn1 layer1`.
        drop_rate: Share of the features that dropout sets to 0; none: the model's.
        drop_path_rate: Share of the residual branches that are left out (stochastic depth).
        bn_momentum: Share of a batch in the running statistics of batch norms; none: the model's.
        ema: Decay of the moving average of the weights, which is tested and exported; none: no average.
    """

    model: str = "resnet50"
    model_args: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    weights: str | None = None
    freeze: tuple[str, ...] = ()
    drop_rate: float | None = None
    drop_path_rate: float | None = None
    bn_momentum: float | None = None
    ema: float | None = None


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """How to train: with which images, through which norms.

    Args:
        method: `advprop`: clean and adversarial images, each through their own batch norms; `fine-grained`:
            also images of AutoAugment through a third set; `fast`: as advprop, at about the price of standard
            training; `adversarial`: both through the same norms; `standard`: clean images only.
        eps: How far an adversarial pixel may be from the clean one, of [0, 1], such as 4/255.
        steps: Steps of the attack.
        step_size: Length of a step, of [0, 1]; none: eps / (steps - 1), or eps for one step.
        target: Class that the attack drives an image towards; none: away from its label.
        norms: Which layers get a second set: batch norms, or all normalization layers.
        share: Share of the images that `fast` attacks.
        separate_passes: Clean and adversarial images go through the model one after the other, for want of
            memory: about half of what images take. The gradients are the same, but for what dropout draws.
    """

    method: Method = "advprop"
    eps: Pixels = 4 / 255
    steps: int = 5
    step_size: Pixels | None = None
    target: Target = "random"
    norms: Literal["batch", "all"] = "batch"
    share: float = 0.2
    separate_passes: bool = False


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How long, with which optimizer and schedule.

    Args:
        epochs: Passes over the training images.
        batch_size: Images in one optimizer step, over all devices.
        accumulate: Parts of a batch that go through the model one after the other, for want of memory.
        opt: Name of one of timm's optimizers.
        lr: Learning rate at the end of the warm-up.
        lr_base_size: Batch size that `lr` is meant for: it is scaled to `batch_size`; none: taken as it is.
        momentum: Momentum of the optimizer.
        opt_args: More arguments of the optimizer, such as `alpha 0.9 eps 0.001`.
        layer_decay: What the learning rate is multiplied by from each layer to the one before it; none: all
            layers have the same.
        fused: Update all weights in one kernel; torch's own SGD, Adam, AdamW and Adagrad can.
        weight_decay: Weight decay; biases and norms have none.
        sched: Name of one of timm's schedules: cosine, step, constant ...
        warmup_epochs: Epochs over which the learning rate rises from `warmup_lr`.
        warmup_lr: Learning rate of the first step.
        decay_epochs: Epochs between two decays of the schedule `step`.
        decay_milestones: Epochs after which the schedule `multistep` decays.
        decay_rate: What a decay multiplies the learning rate by.
        loss: `ce`, cross-entropy, or `bce`, binary cross-entropy: a question of its own for each class.
        bce_target_thresh: With `bce`, labels over this count as 1 and others as 0, also those of mixup; none:
            labels as they are.
        label_smoothing: Share of a label that is spread over all classes.
        clip_grad: Largest norm of the gradient; none: any.
    """

    epochs: int = 100
    batch_size: int = 256
    accumulate: int = 1
    opt: str = "sgd"
    lr: float = 0.1
    lr_base_size: int | None = 256
    momentum: float = 0.9
    opt_args: dict[str, float] = field(default_factory=dict)
    layer_decay: float | None = None
    fused: bool = False
    weight_decay: float = 1e-4
    sched: str = "cosine"
    warmup_epochs: float = 5
    warmup_lr: float = 1e-5
    decay_epochs: float = 30
    decay_milestones: tuple[float, ...] = (90, 180, 270)
    decay_rate: float = 0.1
    loss: Loss = "ce"
    bce_target_thresh: float | None = None
    label_smoothing: float = 0.1
    clip_grad: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where and how it runs; `torchrun --nproc-per-node N -m advprop train` splits batches over N processes.

    Args:
        seed: Seed of everything random.
        device: cpu, cuda, mps; auto takes the best there is.
        precision: Numbers of the forward pass: fp32, or mixed with bf16 or fp16.
        tf32: Let matrix products of fp32 run in TF32 on a GPU: faster, less exact.
        channels_last: Keep images with their channels last in memory: faster for mixed precision, and for
            most convolutions on a CPU, where a small folder has it by default.
        compile: Compile the model with torch.compile.
        grad_checkpointing: Compute the inside of the model again in the backward pass, to keep less of it in
            memory: slower, with the same results.
        sync_batch_norm: Take the statistics of batch norms over all GPUs.
        threads: CPU threads; none: as many as torch likes. Tiny images are fastest with one, and results
            repeat bit for bit only with the same number.
        test_every: Epochs between two tests on the test images, beside the one at the end.
        test_batch_size: Images that each device tests at once; none: as many as it trains on at once, or as
            many tiny ones as have the pixels of one photo, and at most 500.
        log_every: Optimizer steps between two records of the losses, beside the one after each epoch.
        save_every: Optimizer steps between two checkpoints, beside the one after each epoch.
        keep: Number of checkpoints to keep, beside the best.
        severities: Severities of the 15 corruptions of the test images at the end; none: no corruptions.
    """

    seed: int = 0
    device: str = "auto"
    precision: Precision = "fp32"
    tf32: bool = False
    channels_last: bool = False
    compile: bool = False
    grad_checkpointing: bool = False
    sync_batch_norm: bool = False
    threads: int | None = None
    test_every: int = 1
    test_batch_size: int | None = None
    log_every: int = 50
    save_every: int | None = None
    keep: int = 2
    severities: tuple[int, ...] = ()
