"""The whole set of benchmarks, `make bench`: networks of several families, eager and compiled, and the data.

On a GPU each network is measured at the size and precision that a run would have. On a CPU images and batches
are small, so that the set takes minutes, and what is compiled is one network by two methods. Each measurement
is kept in `docs/measured/benchmark.json` as soon as it is there, as `scripts.benchmark` keeps it. At the end
`scripts.cost_curves` measures how the cost depends on settings, and `scripts.data_path` how fast images are
read.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts import benchmark, cost_curves, data_path
from scripts.surroundings import device_kind

# Model, pixels and batch on a GPU, the same on a CPU, and which norms get an auxiliary set.
NETWORKS = (
    ("tf_efficientnet_b0", (224, 256), (64, 8), "batch"),
    ("tf_efficientnet_b4", (380, 64), (64, 8), "batch"),
    ("resnet18", (224, 256), (64, 16), "batch"),
    ("resnet50", (224, 256), (64, 8), "batch"),
    ("convnext_tiny", (224, 128), (64, 8), "all"),
    ("vit_small_patch16_224", (224, 256), (64, 8), "all"),
)
COMPILED_ON_CPU = "resnet18"
FIXED = {
    "cpu": ["--precision", "fp32", "--rounds", "3", "--steps", "1", "--device", "cpu"],
    "cuda": ["--channels-last", "--rounds", "5", "--steps", "8"],
}
ROUNDS = {"cpu": ["--rounds", "3"], "cuda": ["--rounds", "5", "--steps", "8"]}
READ = {
    "cpu": ["--images", "512", "--workers", "0", "1", "2"],
    "cuda": ["--images", "4096", "--batch-size", "256", "--workers", "0", "1", "4", "8", "16"],
}


def main(arguments: list[str] | None = None) -> int:
    """Measure all cases; return the exit status, which is that of the first case that fails."""
    parser = argparse.ArgumentParser(description="The whole set of benchmarks.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device_kind(), help="default: a GPU")
    parser.add_argument("--models", nargs="+", choices=[each[0] for each in NETWORKS], default=None)
    parser.add_argument("--record", type=Path, default=benchmark.RECORD, help="where to keep the steps")
    asked = parser.parse_args(arguments)
    for case in cases(asked.device):
        if asked.models is None or case[1] in asked.models:
            print(f"\n{' '.join(case)}")
            if status := benchmark.main([*case, "--record", str(asked.record)]):
                return status
    if asked.models is not None:
        return 0
    status = cost_curves.main(["--device", asked.device, *ROUNDS[asked.device]])
    return status or data_path.main(READ[asked.device])


def cases(device: str) -> Iterator[list[str]]:
    """The arguments of `scripts.benchmark` of each case."""
    for model, on_gpu, on_cpu, norms in NETWORKS:
        pixels, batch = on_gpu if device == "cuda" else on_cpu
        sizes = ["--image-size", str(pixels), "--batch-size", str(batch)]
        case = ["--model", model, *sizes, *FIXED[device], *(["--norms", norms] if norms != "batch" else [])]
        yield case
        if device == "cuda":
            yield [*case, "--compile"]
        elif model == COMPILED_ON_CPU:
            yield [*case, "--compile", "--methods", "standard", "advprop-1"]


if __name__ == "__main__":
    sys.exit(main())
