"""Where and with what something runs: the device, the versions, the model hub, a clean environment."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires, version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
# What a kernel may see of whoever starts it: where programs and the hub are, and the hardware.
_KEPT = {"PATH", "USER", "LOGNAME", "TMPDIR", "OMP_NUM_THREADS"}
_KEPT_KINDS = ("CUDA_", "NVIDIA_", "LD_", "DYLD_", "HF_", "SSL_", "REQUESTS_", "CURL_", "COVERAGE_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


def versions() -> dict[str, str]:
    """Return the versions that a result is stamped with."""
    libraries = {name: version(name) for name in ("torch", "timm", "numpy", "advprop")}
    return {"python": platform.python_version(), **libraries}


@cache
def libraries() -> dict[str, str]:
    """Return the version of every library that a tutorial can use: what the package and its extras need."""
    found: dict[str, str] = {}
    needed = [(name, "") for name in ("ipykernel", "advprop")]
    needed += [("advprop", extra) for extra in metadata("advprop").get_all("Provides-Extra") or []]
    for name, extra in needed:  # which grows
        with suppress(PackageNotFoundError):  # an extra that is not installed
            found[name] = version(name)
            needed += set(_named(requires(name) or [], extra)).difference(needed)
    return dict(sorted(found.items()))


def needed_by(extra: str) -> dict[str, str]:
    """Return what an extra of the package brings: the requirements, by the names that are imported."""
    needed = [Requirement(each) for each in requires("advprop") or []]
    brought = [each for each in needed if each.marker and each.marker.evaluate({"extra": extra})]
    return {_module(each.name): f"{each.name}{each.specifier}" for each in brought}


def _module(distribution: str) -> str:
    """The name by which a distribution is imported."""
    modules = [name for name, brought in packages_distributions().items() if distribution in brought]
    usual = distribution.replace("-", "_")
    return usual if usual in modules or not modules else modules[0]


def _named(needed: list[str], extra: str) -> Iterator[tuple[str, str]]:
    """The names that a package needs here with an extra, each with the extras that it wants of them."""
    for requirement in map(Requirement, needed):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for wanted in ("", *requirement.extras):
                yield requirement.name.lower().replace("_", "-"), wanted


@cache
def hub() -> str:
    """Return the address of the model hub that answers; empty if it does not."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    try:
        urlopen(ENDPOINT, timeout=5).close()
    except OSError:
        return ""
    return "" if HF_HUB_OFFLINE else str(ENDPOINT)


def weights() -> dict[str, str]:
    """Return the digest of every file that came from the hub, by its model, revision and name."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    return {
        f"{repository.repo_id}@{revision.commit_hash}/{file.file_name}": file.blob_path.name
        for repository in repositories
        for revision in repository.revisions
        for file in revision.files
    }


@cache
def device_kind() -> str:
    """Return "cuda" where torch sees a GPU, else "cpu"."""
    import torch  # slow to import, and only needed here

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(kind: str | None = None) -> str:
    """Return the device in words, for the stamp; by default that which `device_kind` names."""
    import torch

    if (kind or device_kind()) == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {os.cpu_count()} cores)"


def circumstances(kind: str | None = None) -> dict[str, Any]:
    """Return when, where and with what something is measured now, on a device of this kind."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "device": device_name(kind),
        "versions": versions(),
    }


def read_record(path: Path, otherwise: Any) -> Any:
    """Return what `write_record` has written to a file, or something else where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise


def write_record(path: Path, record: Any) -> None:
    """Write what was measured, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def commit(root: Path = ROOT) -> str:
    """Return the commit that is checked out, with "-dirty" after it where files differ from it.

    Records do not count: those of a set of measurements are written one after the other.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout

    found = git("describe", "--always", "--exclude=*").strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs/measured")
    return (found + "-dirty" * bool(changed)) or "unknown"


def clean_environment(notes: Path) -> dict[str, str]:
    """Return the environment of a tutorial's kernel: nobody's settings, start-up files, paths or tokens.

    Args:
        notes: An empty folder, for settings that are as they come, and for what `shell.sh` notes.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in _KEPT or name.lower() in _PROXIES or name.startswith(_KEPT_KINDS)) and "TOKEN" not in name
    }
    (ROOT / ".cache" / "matplotlib").mkdir(parents=True, exist_ok=True)
    return kept | {
        "HOME": str(notes),
        "HF_HOME": str(notes),  # has a token
        "HF_HUB_CACHE": HF_HUB_CACHE,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONNOUSERSITE": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm's wish; it would stand on the page
        "IPYTHONDIR": str(notes),
        "JUPYTER_CONFIG_DIR": str(notes),
        "MPLCONFIGDIR": str(ROOT / ".cache" / "matplotlib"),  # for its list of fonts
        "SHELL": str(ROOT / "scripts" / "shell.sh"),
        "FAILED_COMMANDS": str(notes / "failed_commands"),
    }
