"""Where torch.compile cannot compile."""

import os
import subprocess
import sys

import pytest
import torch

from advprop.runtime.compile_errors import compiling


def test_an_error_of_the_compiler_is_a_line_and_others_stay():
    from torch._dynamo.exc import TorchDynamoException

    told = r"^torch.compile must .* got resnet50 and No compiler found; go on without \(--no-compile\)"
    with pytest.raises(ValueError, match=told), compiling("resnet50"):
        raise TorchDynamoException("No compiler\nfound\n\nSet TORCHDYNAMO_VERBOSE=1 for more")
    for error in (torch.OutOfMemoryError, MemoryError, RuntimeError):
        with pytest.raises(error, match=r"^as it was$"), compiling("resnet50"):
            raise error("as it was")


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_in_a_line(tmp_path):
    words = [
        *("--epochs", "1", "--warmup-epochs", "0", "--train-images", "40", "--severities"),
        *("--device", "cpu", "--compile", "--out", "run"),
    ]
    without = {"CC": "/nowhere", "CXX": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "advprop", "train", *words],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | without,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "got advprop_convnet and InvalidCxxCompiler: No working C++ compiler found" in done.stderr
