"""Trained models from wherever they are: the directory of a run, an exported folder, timm's by name."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, cast

from timm.utils.model import unfreeze
from torch import Tensor, nn

from advprop.attacks import PixelModel
from advprop.data import (
    Batches,
    Division,
    Images,
    ImageSet,
    changes_of_single_images,
    is_undivided,
    open_data,
    open_test,
    some_images,
)
from advprop.models import create_model, data_config
from advprop.norms import MAIN, branch_names, remove_aux_norm
from advprop.recipes import Recipe
from advprop.runs import DIVISION, RECIPE, Run
from advprop.runtime import World, cpu_threads, join, own_randomness
from advprop.training import build_branches, build_model, images_per_test

CONFIG = "config.json"


def load_run(directory: Path | str, branch: str = MAIN) -> nn.Module:
    """The trained model of a run as it was saved last: a plain timm model, on the CPU, in evaluation mode.

    Where the run averages its weights (`ema`), it is the average, as in the run's own tests. The training
    data need not be there any more. `model.pretrained_cfg` tells what the model wants and knows:
    `input_size`, `mean`, `std`, `crop_pct`, `crop_mode`, `interpolation`, `num_classes` and `label_names`.

    Args:
        directory: Directory of the run.
        branch: Whose batch norms the plain model has: `"main"`, or an auxiliary branch such as `"adv"`.

    Raises:
        ValueError: If the directory is not one of a run, the run has no checkpoint yet, or its model has
            no such branch.
        CheckpointError: If all its checkpoints are damaged.

    Examples:
        >>> import tempfile
        >>> from advprop import load_run, make_recipe, train
        >>> directory = tempfile.mkdtemp() + "/run"
        >>> _ = train(make_recipe(data="digits", epochs=1), directory)
        >>> model = load_run(directory)
        >>> model.pretrained_cfg["input_size"], model.pretrained_cfg["label_names"][7]
        ((1, 8, 8), '7')
    """
    run = Run(Path(directory))
    model, names = _with_branches(run.recipe, _last_state(run))
    if branch not in names:
        raise ValueError(f"the run in {directory} trained the branches {', '.join(names)}, got {branch!r}")
    if len(names) > 1:
        remove_aux_norm(model, branch)
    if run.recipe.freeze:
        unfreeze(model, list(run.recipe.freeze))
    return model.eval()


@contextmanager
def trained(
    directory: Path | str, device: str = "auto", test_batch_size: int | None = None
) -> Iterator[tuple[PixelModel, Batches]]:
    """The model of a run with all its branches, as it was saved last, and its test images.

    The classes of the images are those of the run by name, whatever their order; the log has those without
    images. The training images need not be there any more.

    Args:
        directory: Directory of the run.
        device: Where they should be.
        test_batch_size: Number of images of a batch; None: as in the run's own tests.

    Raises:
        ValueError: If the directory is not one of a run, the run has no checkpoint, its test images are not
            there, or they have classes that it was not trained on.
    """
    run = Run(Path(directory))
    recipe, state = run.recipe, _last_state(run)
    with join(device) as world, cpu_threads(recipe.threads), own_randomness():
        model, _ = _with_branches(recipe, state)
        expected = Images(**state["images"])
        size = test_batch_size or images_per_test(recipe, world.ranks, expected.shape)
        yield on_device(model.eval(), _images_of(run, expected), size, world)


def training_images(directory: Path | str, most: int) -> Tensor:
    """Some training images of a run, evenly spread, as for a test: pixels `[N, C, H, W]` in [0, 1].

    Raises:
        ValueError: If it is no run, has no checkpoint, or its training images are not there any more.
    """
    run = Run(Path(directory))
    expected = Images(**_last_state(run)["images"])
    with own_randomness():
        return some_images(_images_of(run, expected, training=True), most)


def on_device(model: nn.Module, images: ImageSet, size: int, world: World) -> tuple[PixelModel, Batches]:
    """A model of pixels, and batches of images, on the device of this rank, which takes its turns."""
    config = data_config(model)
    pixels = PixelModel(model.to(world.device), config["mean"], config["std"])
    return pixels, Batches(images.to(world.device), size * world.ranks, rank=world.rank, ranks=world.ranks)


def load_model(source: Path | str, branch: str = MAIN) -> nn.Module:
    """A trained model in evaluation mode, on the CPU: of a run, of an exported folder, or timm's by name.

    Args:
        source: Directory of a run, folder that `export_timm` wrote, or name of a model with pretrained
            weights.
        branch: For a run, whose batch norms the model has.

    Raises:
        ValueError: If it is none of them.
        OSError: If the weights cannot be downloaded or read.

    Examples:
        >>> from advprop.inference import load_model
        >>> load_model("resnet1")
        Traceback (most recent call last):
        ...
        ValueError: there is no model 'resnet1'; ...
    """
    path = Path(source).expanduser()
    if (path / RECIPE).is_file():
        return load_run(path, branch)
    if branch != MAIN:
        raise ValueError(f"{source} is not the directory of a run, and has no branch {branch!r}")
    if (path / CONFIG).is_file():
        return _load_folder(path)
    if path.is_dir():
        raise ValueError(
            f"{source} is neither the directory of a run nor an exported model: "
            f"it has no {RECIPE} and no {CONFIG}"
        )
    if path.is_file():
        raise ValueError(
            f"{source} is a file; give the directory of its run or an exported folder, or train a model from "
            f"its weights (advprop train --weights {source})"
        )
    if is_path(str(source)):
        raise ValueError(f"there is no run and no exported model {source}")
    return create_model(str(source), pretrained=True).eval()


def is_path(source: str, kind: type[PurePath] = PurePath) -> bool:
    r"""Whether a text is a path, and so not the name of a model: `local-dir:models/cat` is one.

    Examples:
        >>> from pathlib import PureWindowsPath
        >>> from advprop.inference.load import is_path
        >>> is_path("runs/cat"), is_path("resnet18"), is_path("hf-hub:timm/resnet18")
        (True, False, False)
        >>> is_path("C:\\runs", PureWindowsPath)
        True
    """
    path = kind(source)
    return bool(path.drive) or (":" not in source and path.name != source)


def _with_branches(recipe: Recipe, state: Mapping[str, Any]) -> tuple[nn.Module, tuple[str, ...]]:
    """The model of a run with the weights of a checkpoint, and the names of its branches."""
    # Its weights are in the checkpoint: those that it began with are neither needed nor looked for.
    blank = replace(recipe, pretrained=False, weights=None)
    with own_randomness():
        model = build_branches(recipe, build_model(blank, Images(**state["images"])))
    model.load_state_dict(state["ema"] or state["model"])
    return model, branch_names(model)


def _images_of(run: Run, images: Images, training: bool = False) -> ImageSet:
    """The test images of a run, with the labels of its classes; or its training images, unchanged."""
    recipe, division = run.recipe, run.division()
    if recipe.data == "digits":
        data = open_data(recipe, recipe, {}, recipe.seed)
        return data.train if training else data.test
    if is_undivided(recipe) and division is None:
        raise ValueError(f"the run in {run.directory} has lost the list of its test images, {DIVISION}")
    in_memory = not changes_of_single_images(recipe)
    if training:
        recipe = replace(recipe, test_split=recipe.train_split)
        division = division and Division(train=division.test, test=division.train)
    return open_test(recipe, images, keep_in_memory=in_memory, division=division)


def _last_state(run: Run) -> dict[str, Any]:
    state = run.checkpoints.latest()
    if state is None:
        raise ValueError(f"the run in {run.directory} has no checkpoint yet")
    return state


def _load_folder(path: Path) -> nn.Module:
    try:
        model = create_model(f"local-dir:{path}", pretrained=True)
    except OSError as error:
        raise ValueError(str(error)) from error
    if json.loads((path / CONFIG).read_text(encoding="utf-8")).get("exif_orientation"):
        cast(dict[str, Any], model.pretrained_cfg)["exif_orientation"] = True
    return model.eval()
