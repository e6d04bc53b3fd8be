"""What to do where a run has no memory left, with the options of the command line."""

from pathlib import Path

from timm.utils.model import unwrap_model

from advprop.norms import can_checkpoint
from advprop.recipes import Recipe
from advprop.runtime import shell_word
from advprop.training.build import APART
from advprop.training.loop import Loop
from advprop.training.refusals import options


def before_training(recipe: Recipe) -> str:
    """What to do where not even the model fits."""
    now = options(recipe, "model", "image_size", "batch_size")
    return f"take a smaller --model, or lower --image-size or --batch-size (now {now})"


def in_training(loop: Loop, directory: Path, saved: int) -> str:
    """What to do where training runs out of memory, with the last checkpoint at step `saved`."""
    again, ways = resume(directory), []
    if loop.recipe.method in APART and not loop.recipe.separate_passes:
        ways.append(
            "resume with clean and adversarial images one after the other, which changes no result but what "
            f"dropout draws: {again} --separate-passes; or "
        )
    if not loop.recipe.grad_checkpointing and can_checkpoint(unwrap_model(loop.task.trainable_module)):
        ways.append(
            "resume with gradient checkpointing, which is slower and changes no result: "
            f"{again} --grad-checkpointing; or "
        )
    return (
        f"{''.join(ways)}{smaller(loop)}, in a new run (--out). This run is kept at step "
        f"{saved}; with more memory, resume it: {again}"
    )


def in_test(loop: Loop, directory: Path) -> str:
    """What to do where a test runs out of memory."""
    now = loop.test_batches.share
    if now > 1:
        return (
            f"lower --test-batch-size (now {now}), which changes no result. The training is saved; to resume "
            f"with this test: {resume(directory)} --test-batch-size {now // 2}"
        )
    return (
        f"--test-batch-size is 1 already; {smaller(loop)}, in a new run (--out). "
        f"The training is saved; with more memory, resume with this test: {resume(directory)}"
    )


def smaller(loop: Loop) -> str:
    """The options that let training take less memory."""
    recipe = loop.recipe
    half = "" if recipe.precision != "fp32" else ", or use --precision bf16"
    return (
        f"lower --batch-size (now {recipe.batch_size}) or --image-size (now {loop.data.shape[1]}), "
        f"raise --accumulate (now {recipe.accumulate}){half}"
    )


def resume(directory: Path) -> str:
    """The command that resumes a run."""
    return f"advprop train --resume --out {shell_word(directory)}"
