"""Trained models for other programs: a folder that timm loads."""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.models import save_for_hf
from timm.utils.model import unwrap_model
from torch import nn

from advprop.models import check_configured, check_names
from advprop.norms import MAIN, branch_names
from advprop.runtime import patiently


def export_timm(model: nn.Module, directory: Path | str, class_names: Sequence[str] | None = None) -> Path:
    """Writes a model as a folder that `timm.create_model("local-dir:DIRECTORY", pretrained=True)` loads.

    The folder has `model.safetensors` and `config.json`, which says how images are to be prepared and
    what the classes are called. timm needs no part of this package for it, unless the architecture is its
    own small ConvNet: then `import advprop.models` comes first.

    Args:
        model: A plain timm model, such as `load_run` gives; wherever it is, and left as it is.
        directory: The folder; made if it is not there. A model in it is replaced.
        class_names: Names of the classes by label; by default those of the model's configuration.

    Returns:
        The folder.

    Raises:
        ValueError: If it is no timm model, has auxiliary norms, or the names are not as many as its classes.
        OSError: If the folder cannot be written.

    Examples:
        >>> import tempfile, timm
        >>> from advprop import create_model, export_timm
        >>> model = create_model("test_resnet", num_classes=2)
        >>> folder = export_timm(model, tempfile.mkdtemp(), class_names=("cat", "dog"))
        >>> again = timm.create_model(f"local-dir:{folder}", pretrained=True)
        >>> again.pretrained_cfg["label_names"]
        ['cat', 'dog']
    """
    # timm's writer wants contiguous tensors, and the names of the classes in one place.
    plain: Any = copy.deepcopy(plain_model(model)).cpu().to(memory_format=torch.contiguous_format)
    config = plain.pretrained_cfg = dict(plain.pretrained_cfg)
    names = config.pop("label_names", None) or ()
    if class_names is not None:
        check_names(class_names, plain.num_classes)
        names = list(class_names)
        config.pop("label_descriptions", None)
    own: dict[str, Any] = {"label_names": names} if len(names) == plain.num_classes else {}
    if config.pop("exif_orientation", False):  # timm's settings have no such key
        own["exif_orientation"] = True
    with replacing(Path(directory)) as unfinished:
        save_for_hf(plain, str(unfinished), model_config=own, safe_serialization=True)
        # safetensors writes files that nobody else may read
        (unfinished / "model.safetensors").chmod((unfinished / "config.json").stat().st_mode)
    return Path(directory)


def plain_model(model: nn.Module) -> nn.Module:
    """The model without what training put around it, if it is one of timm's as timm made it."""
    model = unwrap_model(model)
    if branch_names(model) != (MAIN,):
        raise ValueError(
            f"the model has the branches {', '.join(branch_names(model))}; "
            "remove_aux_norm(model) leaves the plain model to export"
        )
    check_configured(model)
    return model


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """A folder to write in, whose files move to the directory at the end, if all went well."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=directory) as own:
        yield Path(own)
        for path in sorted(Path(own).iterdir()):
            patiently(partial(path.replace, directory / path.name))
