"""This process among the ranks: its device, what all ranks share, and which images are its own."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from timm.task import evaluation_sample_limit
from timm.utils.distributed import is_distributed_env, world_info_from_env
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.utils.data import Dataset, DistributedSampler, Subset

Result = TypeVar("Result")
Item = TypeVar("Item")

_PEER_IS_GONE = re.compile(r"gloo|nccl|closed by peer|reset by peer", re.IGNORECASE)


@dataclass(frozen=True)
class World:
    """This process and how many there are; one process alone is rank 0 of 1."""

    device: torch.device
    rank: int = 0
    ranks: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files and talks."""
        return self.rank == 0

    def wait(self) -> None:
        """Waits until the device has done all that it was given."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.ranks > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: Item) -> list[Item]:
        """What each of several ranks has, in their order."""
        found = [value] * self.ranks
        dist.all_gather_object(found, value)
        return found

    def on_first(self, action: Callable[[], Result]) -> Result:
        """Runs an action on the first rank; what it returns or raises is returned or raised on every rank."""
        result: Result | None = None
        problem: Exception | None = None
        if self.is_first:
            try:
                result = action()
            except Exception as error:
                problem = error
        if self.ranks > 1:
            box: list[Any] = [result, problem]
            nccl = dist.get_backend() == "nccl"
            dist.broadcast_object_list(box, src=0, device=self.device if nccl else None)
            result, problem = box
        if problem is not None:
            if not self.is_first:
                problem.add_note("found by the first rank")
            raise problem
        return cast(Result, result)

    def share_buffers(self, model: nn.Module) -> None:
        """Gives every rank the running statistics of the first, as DistributedDataParallel does.

        DDP does it when a step begins to train; here it ends a step, so that an attack finds the same
        statistics on every rank, and a checkpoint of the first rank is the state of all.
        """
        buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        if self.ranks == 1 or not buffers:
            return
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        dist.broadcast(flat, src=0)
        pieces = flat.split([buffer.numel() for buffer in buffers])
        for buffer, piece in zip(buffers, pieces, strict=True):
            buffer.copy_(piece.view_as(buffer))


@contextmanager
def join(device: str = "auto") -> Iterator[World]:
    """Joins the other ranks, if there are any (torchrun, SLURM), and leaves them at the end.

    Args:
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`; `"auto"` is the best there is.

    Raises:
        ValueError: If there is no such device.
        ConnectionError: If another rank has ended in the middle of something that all do together.
    """
    device = _best_device() if device == "auto" else device
    kind = device.partition(":")[0]
    if not _is_there(kind):
        raise ValueError(f"there is no device {device!r} here; 'auto' would take {_best_device()!r}")
    own = is_distributed_env() and not dist.is_initialized()
    if own:
        device = _meet(kind)
    try:
        yield World(torch.device(device), *rank_and_ranks(all_ranks=True))
    except RuntimeError as error:
        if own and _PEER_IS_GONE.search(str(error)):
            raise ConnectionError("another rank has ended; its own message says why") from error
        raise
    finally:
        if own and dist.is_initialized():
            dist.destroy_process_group()


def _meet(kind: str) -> str:
    """Waits for the other ranks; the device of this one."""
    local_rank, rank, ranks = world_info_from_env()
    store, rank, ranks = next(rendezvous("env://", rank, ranks))
    # Ranks that torchrun has started again must not find the addresses of those that have died.
    attempt = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", store=attempt, rank=rank, world_size=ranks)
    if kind != "cuda":
        return kind
    torch.cuda.set_device(local_rank)
    return f"cuda:{local_rank}"


@contextmanager
def gpu_kernels(tf32: bool) -> Iterator[None]:
    """Lets a GPU compute fp32 in TF32 or not for a while, and convolutions in the fastest way, as timm."""
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    cudnn.allow_tf32, cudnn.benchmark = tf32, True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Lets torch use so many CPU threads for a while; None: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _best_device() -> str:
    return next(kind for kind in ("cuda", "mps", "cpu") if _is_there(kind))


def _is_there(kind: str) -> bool:
    """Whether there is a device of a kind, of those that are known."""
    if kind == "mps":
        return torch.backends.mps.is_available()
    return torch.cuda.is_available() if kind == "cuda" else kind == "cpu"


def rank_share(dataset: Dataset[Item]) -> Subset[Item]:
    """The images of this rank: every n-th of the data set for n ranks, none twice and none left out.

    Args:
        dataset: Anything with a length and items by number.

    Raises:
        ValueError: If the data set has no length.

    Examples:
        >>> from torch.utils.data import TensorDataset
        >>> import torch
        >>> from advprop import rank_share
        >>> len(rank_share(TensorDataset(torch.zeros(3, 1, 8, 8))))  # all of them, on a single rank
        3
    """
    return Subset(dataset, _turns(dataset, *rank_and_ranks(all_ranks=True)))


def rank_and_ranks(all_ranks: bool) -> tuple[int, int]:
    """This rank's number and the number of ranks that count together."""
    if all_ranks and dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def images_without_padding(batches: Iterable[object]) -> int | None:
    """How many images of this rank are not the padding of a distributed sampler; None where none pads.

    Raises:
        ValueError: If the sampler leaves images out.
    """
    sampler = getattr(batches, "sampler", None)
    if not isinstance(sampler, DistributedSampler):
        limit: int | None = evaluation_sample_limit(batches)
        return limit
    if sampler.drop_last:
        raise ValueError(
            "every image must count, and the sampler leaves some out; pass drop_last=False to it"
        )
    return len(_turns(sampler.dataset, sampler.rank, sampler.num_replicas))


def _turns(dataset: object, rank: int, ranks: int) -> range:
    """The numbers of a rank's images, where the ranks take turns."""
    if not isinstance(dataset, Sized):
        raise ValueError(f"a share needs a data set with a length, got {type(dataset).__name__}")
    return range(rank, len(dataset), ranks)
