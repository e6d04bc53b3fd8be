"""The ways in which torch, NumPy and the system report that there is no memory left."""

import errno
import os
import subprocess
import sys

import pytest
import torch

from advprop.runtime.memory import OutOfMemory, is_out_of_memory, short_of_memory

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 800 bytes. Error code 12 (Cannot allocate memory)"
)
REPORTS = {
    "cuda": (torch.OutOfMemoryError(CUDA), "out of memory in a test (tried to allocate 2.00 GiB): take less"),
    "cpu": (RuntimeError(CPU), "out of memory in a test (tried to allocate 800 bytes): take less"),
    "mps": (
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        "out of memory in a test: take less",
    ),
    "cublas": (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), "out of memory in a test: take less"),
    "python": (MemoryError(), "out of memory in a test: take less"),
    "system": (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "out of memory in a test: take less"),
}


@pytest.mark.parametrize("kind", REPORTS)
def test_each_report_becomes_the_same_error(kind):
    error, told = REPORTS[kind]
    assert is_out_of_memory(error)
    with pytest.raises(OutOfMemory) as found, short_of_memory("in a test", lambda: "take less"):
        raise error
    assert str(found.value) == told
    assert found.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), OSError(errno.ENOENT, "none"), ValueError("x")]
)
def test_other_errors_stay_as_they_are(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as found, short_of_memory("in a test", lambda: "take less"):
        raise error
    assert found.value is error


def test_the_first_advice_holds():
    with (
        pytest.raises(OutOfMemory, match=r"^out of memory: inside$"),
        short_of_memory("outside", lambda: "outside"),
        short_of_memory("", lambda: "inside"),
    ):
        raise MemoryError


_LIMITED = """
import resource, sys
import torch
from advprop.runtime import is_out_of_memory

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
for allocate in (
    lambda: torch.zeros(10**9),
    lambda: torch.zeros(20_000, 8) @ torch.zeros(8, 20_000),
    lambda: bytearray(10**9),
    lambda: torch.zeros(1).numpy().repeat(10**9),
):
    try:
        allocate()
    except Exception as error:
        print(is_out_of_memory(error))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are those of Linux")
def test_what_is_raised_at_a_limit_is_known():
    done = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True"] * 4, done.stderr


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_a_gpu_raises_is_known():
    with (
        pytest.raises(OutOfMemory, match=r"^out of memory \(tried to allocate .* GiB\): take less$"),
        short_of_memory("", lambda: "take less"),
    ):
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
