"""Two ranks give the parameters of one on the same global batch; nothing is reduced, lost or used twice."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from advprop import (
    IFGSM,
    PGD,
    AdversarialTask,
    AdvPropTask,
    FastAdvPropTask,
    StandardTask,
    add_aux_norm,
    use_branch,
)
from advprop.attacks.objective import HALF_SCALE
from advprop.norms.wrap import aux_norms
from advprop.tasks.shuffle import shuffle_ranks
from tests.reference import TinyNet, batch

WORLD, STEPS = 2, 3
ATTACK = IFGSM(eps=8 / 255, step_size=4 / 255, steps=2, targeted=None)
FAST = PGD(eps=8 / 255, step_size=8 / 255, steps=1, targeted=None, mode="train", random_start=False)


def flip(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return images.flip(3)


def group_net() -> TinyNet:
    """A network whose norms look at one image at a time."""
    net = TinyNet(dropout=0.0).double()
    net.body[1], net.head[1] = nn.GroupNorm(2, 8).double(), nn.GroupNorm(2, 8).double()
    return net


def batch_norms_in_evaluation() -> StandardTask:
    return AdvPropTask(TinyNet(dropout=0.0).double(), ATTACK).eval()


MAKE: dict[str, Callable[[], StandardTask]] = {
    "standard": lambda: StandardTask(group_net()),
    "adversarial": lambda: AdversarialTask(group_net(), ATTACK),
    "advprop": lambda: AdvPropTask(add_aux_norm(group_net(), norms="all"), ATTACK),
    "fine_grained": lambda: AdvPropTask(
        add_aux_norm(group_net(), ("adv", "flipped"), norms="all"), {"adv": ATTACK, "flipped": flip}
    ),
    "separate": lambda: AdvPropTask(add_aux_norm(group_net(), norms="all"), ATTACK, separate_passes=True),
    "fast": lambda: FastAdvPropTask(add_aux_norm(group_net(), norms="all"), FAST, share=0.25),
    "batch norms in evaluation": batch_norms_in_evaluation,
}
CASES = {
    **{name: {"make": name} for name in MAKE},
    "advprop, accumulated": {"make": "advprop", "accumulate": True},
    "separate, accumulated": {"make": "separate", "accumulate": True},
    "separate, compiled": {"make": "separate", "compiled": True},
    "fast, accumulated": {"make": "fast", "accumulate": True},
    "advprop, compiled": {"make": "advprop", "compiled": True},
    "fast, channels last": {"make": "fast", "memory_format": torch.channels_last},
}


def global_batch(step: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(100 + step)
    return batch(16, dtype=torch.float64)


def part_of(rank: int, step: int) -> tuple[Tensor, Tensor]:
    """The batch of a rank: 6 of the first 12 images and 2 of the last 4, which Fast AdvProp attacks."""
    images, labels = global_batch(step)
    rows = [*range(6 * rank, 6 * rank + 6), *range(12 + 2 * rank, 14 + 2 * rank)]
    return images[rows], labels[rows]


def train(
    task: StandardTask, data: Callable[[int], tuple[Tensor, Tensor]], case: dict[str, Any]
) -> list[Tensor]:
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9)
    task.setup_ema(decay=0.5)
    for step in range(STEPS):
        images, labels = data(step)
        images = images.contiguous(memory_format=case.get("memory_format", torch.contiguous_format))
        if case.get("accumulate"):
            with task.no_sync():
                task(images.flip(2), labels)["loss"].backward()
        task(images, labels)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        task.update_ema(step)
    trained = task.get_trainable_module(ema=True).module.parameters()
    return [p.detach().clone() for p in (*task.get_trainable_module().parameters(), *trained)]


def run_case(case: dict[str, Any], rank: int) -> dict[str, Any]:
    """Train on one of the ranks; say what the parameters became and what was reduced on the way."""
    torch.manual_seed(rank)  # DDP gives every rank the parameters of the first
    task = MAKE[case["make"]]()
    if case.get("compiled"):
        task.compile(backend="eager")
    assert task.prepare_distributed(device_ids=[0]) is task
    reductions: list[int] = []

    def count(group, bucket):  # DDP refuses annotations that are strings
        reductions.append(bucket.index())
        return allreduce_hook(group, bucket)

    passes: list[int] = []
    task.get_trainable_module().register_comm_hook(None, count)
    task.get_trainable_module().register_forward_pre_hook(lambda _, x: passes.append(len(x[0])))
    parameters = train(task, lambda step: part_of(rank, step), case)
    keys = list(task.get_checkpoint_state()["state_dict"])
    evaluated = [type(module) for module in task.get_eval_model().modules()]
    return {
        "parameters": parameters,
        "reductions": reductions,
        "passes": len(passes),
        "keys": keys,
        "evaluates through DDP": DistributedDataParallel in evaluated,
    }


def shuffle_all(rank: int) -> list[tuple[Tensor, Tensor]]:
    """Shuffles of images that say where they came from."""
    number = torch.arange(5) + 10 * rank
    images = number.view(5, 1, 1, 1) + torch.linspace(0, 0.5, 3 * 4 * 4).view(1, 3, 4, 4)
    last = images.contiguous(memory_format=torch.channels_last)
    weights = torch.nn.functional.one_hot(number, 20).double()
    torch.manual_seed(rank)  # the ranks need not agree
    return [
        shuffle_ranks(images, number),
        shuffle_ranks(images, number),
        shuffle_ranks(last, weights),
        shuffle_ranks(images, number),
    ]


def scale_in_half(rank: int) -> Tensor:
    """The scale of the attack after a step in which one rank alone has gradients that are too large."""
    loss = torch.nn.functional.cross_entropy
    task = FastAdvPropTask(
        TinyNet(), FAST, share=0.25, criterion=lambda logits, labels: 1e6**rank * loss(logits, labels)
    )
    with torch.autocast("cpu", torch.float16):
        task(*batch(8))
    return task.scale


def work(rank: int, folder: str) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    results: dict[str, Any] = {name: run_case(case, rank) for name, case in CASES.items()}
    results["shuffled"] = shuffle_all(rank)
    results["scale"] = scale_in_half(rank)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes made of all cases, by rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        mp.start_processes(work, (str(folder),), nprocs=WORLD, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", CASES)
def test_fault_of_no_distributed_training_two_ranks_give_the_parameters_of_one(
    name: str, ranks: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    task = MAKE[CASES[name]["make"]]()
    start = [p.detach().clone() for p in task.parameters()]
    expected = train(task, global_batch, CASES[name])
    for result in ranks:
        torch.testing.assert_close(result[name]["parameters"], expected, rtol=0, atol=1e-10)
    assert all(not torch.equal(a, b) for a, b in zip(start, expected[: len(start)], strict=True))


@pytest.mark.parametrize("name", CASES)
def test_fault_of_attacks_that_reduce_gradients_one_reduction_a_step(
    name: str, ranks: list[dict[str, Any]]
) -> None:
    for result in ranks:
        assert result[name]["reductions"] == [0] * STEPS


@pytest.mark.parametrize("name", CASES)
def test_an_attack_goes_past_ddp_which_would_broadcast_buffers(
    name: str, ranks: list[dict[str, Any]]
) -> None:
    batches = STEPS * (2 if CASES[name].get("accumulate") else 1)
    assert [result[name]["passes"] for result in ranks] == [batches] * WORLD


@pytest.mark.parametrize("name", CASES)
def test_saved_keys_are_those_of_one_process(name: str, ranks: list[dict[str, Any]]) -> None:
    expected = list(MAKE[CASES[name]["make"]]().get_checkpoint_state()["state_dict"])
    assert [result[name]["keys"] for result in ranks] == [expected] * WORLD


@pytest.mark.parametrize("name", CASES)
def test_what_is_evaluated_is_free_of_ddp_which_would_wait_for_other_ranks(
    name: str, ranks: list[dict[str, Any]]
) -> None:
    assert [result[name]["evaluates through DDP"] for result in ranks] == [False] * WORLD


def test_fault_of_shuffling_that_loses_or_repeats_images(ranks: list[dict[str, Any]]) -> None:
    everything = [*range(5), *range(10, 15)]
    orders = set()
    for pair in zip(*(result["shuffled"] for result in ranks), strict=True):
        images, labels = (torch.cat(parts) for parts in zip(*pair, strict=True))
        number = labels if labels.ndim == 1 else labels.argmax(1)
        assert [len(part) for part, _ in pair] == [5, 5]
        assert number.sort().values.tolist() == everything
        inside = torch.linspace(0, 0.5, 3 * 4 * 4).view(1, 3, 4, 4)
        torch.testing.assert_close(images, number.view(-1, 1, 1, 1) + inside.expand(10, -1, -1, -1))
        orders.add(tuple(number.tolist()))
        assert len({int(n) // 10 for n in number[:5]}) == 2, "the first rank got images of one rank only"
    assert len(orders) == 4


def test_the_scale_of_fp16_is_the_same_on_all_ranks(ranks: list[dict[str, Any]]) -> None:
    assert [result["scale"].item() for result in ranks] == [HALF_SCALE / 2] * WORLD


# --- synchronised batch norms ------------------------------------------------------------------------


def dead_or_shared(model: nn.Module) -> list[str]:
    """What is wrong with the branches of a converted model."""
    faults = []
    for layer in aux_norms(model):
        aux = layer.aux["adv"]
        if not all(isinstance(norm, nn.SyncBatchNorm) for norm in (layer.main, aux)):
            faults.append("a branch was not converted")
        ours = {t.data_ptr() for t in (*layer.main.parameters(), *layer.main.buffers())}
        if ours & {t.data_ptr() for t in (*aux.parameters(), *aux.buffers())}:
            faults.append("branches share tensors")
    return faults


def timm_net() -> nn.Module:
    import timm

    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=5)


@pytest.mark.parametrize("converter", [convert_sync_batchnorm, nn.SyncBatchNorm.convert_sync_batchnorm])
@pytest.mark.parametrize("before", [True, False], ids=["converted-then-wrapped", "wrapped-then-converted"])
def test_fault_of_a_dead_branch_after_conversion_to_synchronised_norms(
    converter: Callable[[nn.Module], nn.Module], before: bool
) -> None:
    # torch's converter drops the activations of timm's layers, so it gets a network without them
    net = timm_net() if converter is convert_sync_batchnorm else TinyNet(dropout=0.0)
    plain = add_aux_norm(copy.deepcopy(net))
    model = add_aux_norm(converter(net)) if before else converter(add_aux_norm(net))
    assert len(list(aux_norms(model))) == len(list(aux_norms(plain))) > 0
    assert dead_or_shared(model) == []
    images, labels = batch(4, side=32)
    results = []
    for each in (plain, model):
        torch.manual_seed(1)
        task = AdvPropTask(each, PGD(steps=1))
        loss = task(images, labels)["loss"]
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in each.parameters()), *each.buffers()])
    torch.testing.assert_close(results[1], results[0])
    with use_branch(model, "adv"):
        logits = model.eval()(images)
    assert not torch.equal(model(images), logits)


def synchronised(rank: int, folder: str) -> None:
    """One of two processes on the same GPU: batch statistics of both, through gloo."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    results = {}
    for name, task in gpu_tasks(convert_sync_batchnorm).items():
        task.prepare_distributed(device_ids=[0])
        results[name] = train_on_gpu(task, lambda step: part_of(rank, step))
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def gpu_tasks(convert: Callable[[nn.Module], nn.Module]) -> dict[str, StandardTask]:
    tasks: dict[str, StandardTask] = {}
    for name, make in (("advprop", AdvPropTask), ("fast", FastAdvPropTask)):
        torch.manual_seed(0)
        model = convert(add_aux_norm(TinyNet(dropout=0.0))).double().cuda()
        tasks[name] = make(model, ATTACK) if make is AdvPropTask else make(model, FAST, share=0.25)
    return tasks


def train_on_gpu(task: StandardTask, data: Callable[[int], tuple[Tensor, Tensor]]) -> list[Tensor]:
    parameters = train(task, lambda step: tuple(t.cuda() for t in data(step)), {})  # type: ignore[arg-type,return-value]
    buffers = [b.double() for b in task.get_trainable_module().buffers()]
    return [t.cpu() for t in (*parameters, *buffers)]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_synchronised_norms_of_two_ranks_give_the_parameters_of_one(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        mp.start_processes(synchronised, (str(tmp_path),), nprocs=WORLD, start_method="spawn")
    expected = {name: train_on_gpu(task, global_batch) for name, task in gpu_tasks(lambda m: m).items()}
    for rank in range(WORLD):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected, rtol=0, atol=1e-8)
