import math
import socket

import pytest
import torch
import torch.distributed as dist
from scipy.stats import binomtest
from timm.data.distributed_sampler import OrderedDistributedSampler
from torch import multiprocessing, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from advprop.attacks.pgd import FGSM, IFGSM, PGD
from advprop.attacks.pixel_model import PixelModel
from advprop.evaluation.accuracy import ALEXNET_ERRORS, Accuracy, mce_alexnet, mean_corruption_error
from advprop.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from advprop.evaluation.evaluator import evaluate, evaluate_attacks, evaluate_corruptions
from advprop.norms.branch import use_branch
from advprop.norms.wrap import add_aux_norm
from advprop.runtime import images_without_padding, rank_share

CLASSES = 7


class Echo(nn.Module):
    """Takes the first values of an image for logits."""

    def __init__(self, classes=CLASSES):
        super().__init__()
        self.classes = classes

    def forward(self, images):
        return images.flatten(1)[:, : self.classes]


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(288, CLASSES),
    )


def data(count=13, seed=0):
    source = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 8, 8, generator=source)
    return images, torch.randint(CLASSES, (count,), generator=source)


def batches(count=13, size=4):
    images, labels = data(count)
    return list(zip(images.split(size), labels.split(size), strict=True))


def answer(top1, n=10):
    return Accuracy(top1=top1, top5=1.0, n=n, loss=1.0)


# --- the record ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 7), (450, 500), (76_200, 100_000)])
def test_the_interval_is_wilsons(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert answer(right / n, n).interval == pytest.approx((expected.low, expected.high))


def test_an_accuracy_prints_its_interval():
    assert str(answer(0.9, 360)) == "90.0 % (86.5 to 92.7, n = 360)"


def test_an_accuracy_under_attack_says_which():
    attacked = Accuracy(top1=0.1, top5=1.0, n=20, loss=1.0, attack=str(PGD(eps=4 / 255, steps=5)))
    assert str(attacked) == "10.0 % (2.8 to 30.1, n = 20) under untargeted PGD, linf, eps 4/255, 5 steps"
    assert attacked.to_dict() == vars(attacked)
    assert answer(0.9).to_dict() == {"top1": 0.9, "top5": 1.0, "n": 10, "loss": 1.0}


def test_mean_corruption_error_is_the_plain_mean_of_errors():
    table = {"fog": {1: answer(0.5), 2: answer(0.75)}, "snow": {1: answer(1.0)}}
    assert mean_corruption_error(table) == pytest.approx((0.375 + 0) / 2)


@pytest.mark.parametrize("table", [{}, {"fog": {}}])
def test_an_empty_table_has_no_mean(table):
    with pytest.raises(ValueError, match="no entries for a kind"):
        mean_corruption_error(table)


def test_mce_is_in_units_of_alexnet():
    assert tuple(ALEXNET_ERRORS) == CORRUPTIONS
    alexnet = {k: dict.fromkeys(SEVERITIES, answer(1 - error)) for k, error in ALEXNET_ERRORS.items()}
    assert mce_alexnet(alexnet) == pytest.approx(1)
    better = alexnet | {"fog": dict.fromkeys(SEVERITIES, answer(1 - ALEXNET_ERRORS["fog"] / 2))}
    assert mce_alexnet(better) == pytest.approx(1 - 0.5 / 15)


def test_mce_wants_every_kind_and_severity():
    row = dict.fromkeys(SEVERITIES, answer(0.5))
    whole = dict.fromkeys(CORRUPTIONS, row)
    for table in (whole | {"fog": {1: answer(0.5)}}, {"fog": row}, whole | {"spatter": row}):
        with pytest.raises(ValueError, match="mCE needs the 15 kinds at severities 1 to 5 and no others"):
            mce_alexnet(table)


# --- counting ------------------------------------------------------------------------------------


def test_counts_what_the_model_gets_right():
    images, labels = data(50)
    ranks = images.flatten(1)[:, :CLASSES].argsort(1, descending=True).argsort(1)
    place = ranks.gather(1, labels[:, None])[:, 0]
    found = evaluate(Echo(), batches(50, size=8))
    assert (found.top1, found.top5, found.n) == (
        (place == 0).sum().item() / 50,
        (place < 5).sum().item() / 50,
        50,
    )
    assert found.top1 < found.top5 < 1
    expected = nn.functional.cross_entropy(images.flatten(1)[:, :CLASSES], labels)
    assert found.loss == pytest.approx(expected.item())


def test_top5_of_fewer_classes_is_1():
    images, labels = data(9)
    found = evaluate(Echo(classes=3), [(images, labels % 3)])
    assert found.top5 == 1
    assert found.top1 < 1


@pytest.mark.parametrize("size", [1, 5, 13])
def test_the_batch_size_does_not_matter(size):
    model = network()
    options = {"corruption": "gaussian_noise", "severity": 5, "seed": 3}
    found, expected = (evaluate(model, batches(size=s), **options) for s in (size, 4))
    assert (found.top1, found.top5, found.n) == (expected.top1, expected.top5, 13)
    assert found.loss == pytest.approx(expected.loss)


def test_a_model_of_normalised_images_is_wrapped():
    model = network().eval()
    images, labels = data()
    found = evaluate(PixelModel(model, 0.5, 0.25), batches())
    assert found.top1 == pytest.approx(
        (model((images - 0.5) / 0.25).argmax(1) == labels).float().mean().item()
    )


def test_the_device_is_not_waited_for_in_each_batch(monkeypatch):
    waits = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy"):
        known = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda *a, f=known, **k: waits.append(1) or f(*a, **k))
    counts = []
    for size in (7, 1):
        waits.clear()
        evaluate_corruptions(network(), batches(size=size), kinds=("fog", "glass_blur", "shot_noise"))
        counts.append(len(waits))
    assert counts[0] == counts[1] > 0


def test_progress_is_shown_where_asked(capsys):
    evaluate(Echo(), batches())
    assert capsys.readouterr().err == ""
    evaluate(Echo(), batches(), progress=True)
    assert "4/4" in capsys.readouterr().err


# --- the model is left as it was -----------------------------------------------------------------


def test_runs_in_evaluation_mode_and_restores_every_flag():
    model = network()
    model[1].eval()
    flags = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert evaluate(model, batches()) == evaluate(model, batches())  # no dropout
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_restores_after_an_exception_too():
    model = add_aux_norm(network())
    flags = [module.training for module in model.modules()]
    bad = [*batches(), (torch.rand(2, 1, 9, 9), torch.tensor([0, 1]))]
    with use_branch(model, "adv"):
        with pytest.raises(RuntimeError):
            evaluate(model, bad)
        assert model[1].route.parts == (("adv", 1),)
    assert [module.training for module in model.modules()] == flags


def test_evaluates_the_branch_of_choice():
    model = add_aux_norm(network())
    plain = evaluate(model, batches())
    with torch.no_grad():
        model[1].aux["adv"].bias += 3
    assert evaluate(model, batches()) == plain
    other = evaluate(model, batches(), branch="adv")
    assert other.loss != plain.loss
    with use_branch(model, "adv"):
        assert evaluate(model, batches()) == plain


def test_a_plain_model_has_the_main_branch_only():
    with pytest.raises(ValueError, match="no auxiliary norms"):
        evaluate(network(), batches(), branch="adv")
    with pytest.raises(ValueError, match="got 'aa'"):
        evaluate(add_aux_norm(network()), batches(), branch="aa")


def test_autocast_reaches_the_model_and_not_the_corruption():
    seen = []
    model = network()
    model[0].register_forward_hook(
        lambda module, inputs, output: seen.append((inputs[0].clone(), output.dtype))
    )
    evaluate(model, batches(4), corruption="pixelate", severity=5, autocast=torch.bfloat16)
    ((images, dtype),) = seen
    assert dtype == torch.bfloat16
    assert torch.equal(images, corrupt(data(4)[0], "pixelate", 5))


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_the_device_is_the_models(dtype):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    found = evaluate(network().cuda(), batches(), attack=FGSM(eps=0.1), autocast=dtype)
    expected = evaluate(network(), batches(), attack=FGSM(eps=0.1))
    assert found.loss == pytest.approx(expected.loss, rel=0.05)


# --- corruptions and attacks ---------------------------------------------------------------------


def test_a_corruption_is_that_of_corrupt():
    images, labels = data()
    changed = corrupt(images, "impulse_noise", 5, seed=2)
    expected = evaluate(Echo(), [(changed, labels)])
    found = evaluate(Echo(), batches(), corruption="impulse_noise", severity=5, seed=2)
    assert found.top1 == expected.top1
    assert found.loss == pytest.approx(expected.loss)
    assert found.loss != pytest.approx(evaluate(Echo(), batches()).loss)


def test_the_table_of_corruptions_takes_one_pass():
    model = network()
    table = evaluate_corruptions(model, iter(batches()), kinds=("fog", "contrast"), severities=(5, 1))
    assert {kind: list(row) for kind, row in table.items()} == {"fog": [5, 1], "contrast": [5, 1]}
    for kind, row in table.items():
        for severity, found in row.items():
            assert found == evaluate(model, batches(), corruption=kind, severity=severity)
    assert table["fog"][1] != table["fog"][5]


def test_all_corruptions_by_default():
    table = evaluate_corruptions(network(), batches(4))
    assert tuple(table) == CORRUPTIONS
    assert all(tuple(row) == SEVERITIES and row[3].n == 4 for row in table.values())
    assert 0 < mce_alexnet(table) < 2


def test_an_attack_works_on_the_branch_that_is_evaluated():
    model = add_aux_norm(network())
    with torch.no_grad():
        model[1].aux["adv"].weight.neg_()
    attack = FGSM(eps=0.1)
    for branch in ("main", "adv"):
        model.eval()
        images, labels = data()
        with use_branch(model, branch):
            adversarial = attack(model, images, labels)
            expected = nn.functional.cross_entropy(model(adversarial), labels).item()
        model.train()
        found = evaluate(model, batches(), branch=branch, attack=attack)
        assert found.loss == pytest.approx(expected, rel=1e-4)
        assert found.loss > evaluate(model, batches(), branch=branch).loss


def test_a_random_attack_is_seeded():
    attack = PGD(eps=0.2, step_size=0.05, steps=2)
    torch.manual_seed(0)
    first = evaluate(network(), batches(), attack=attack)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    model = network()
    torch.set_rng_state(state)
    assert evaluate(model, batches(), attack=attack) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert evaluate(model, batches(), attack=attack, seed=1) != first


def test_an_attack_comes_after_a_corruption():
    model = network()
    both = evaluate(model, batches(), corruption="fog", severity=1, attack=FGSM(eps=0.1))
    images, labels = data()
    foggy = [(corrupt(images, "fog", 1), labels)]
    assert both.loss == pytest.approx(evaluate(model, foggy, attack=FGSM(eps=0.1)).loss, rel=1e-4)


def test_the_table_of_attacks_falls_with_eps_and_steps():
    model = network()
    table = evaluate_attacks(model, iter(batches(40, 10)), eps=(0.0, 0.02, 0.1), steps=(1, 4))
    assert {eps: list(row) for eps, row in table.items()} == {0.0: [1, 4], 0.02: [1, 4], 0.1: [1, 4]}
    clean = evaluate(model, batches(40, 10))
    assert table[0.0][4].loss == pytest.approx(clean.loss)
    assert clean.loss < table[0.02][4].loss < table[0.1][4].loss
    assert table[0.1][1].loss < table[0.1][4].loss
    by_hand = PGD(eps=0.1, steps=4, step_size=2.5 * 0.1 / 4, targeted=None)
    assert table[0.1][4] == evaluate(model, batches(40, 10), attack=by_hand)


def test_the_attack_of_a_table_can_be_chosen():
    base = PGD(norm="l2", targeted=None, random_start=False)
    table = evaluate_attacks(network(), batches(), eps=(0.5,), steps=(3,), attack=base)
    by_hand = PGD(norm="l2", targeted=None, random_start=False, eps=0.5, steps=3, step_size=2.5 * 0.5 / 3)
    assert table[0.5][3] == evaluate(network(), batches(), attack=by_hand)


def test_an_evaluation_records_its_attack():
    attack = PGD(eps=0.1, steps=2, targeted="random")
    assert evaluate(network(), batches(), attack=attack).attack == str(attack)
    assert evaluate(network(), batches(), corruption="fog", severity=1).attack == ""
    table = evaluate_attacks(network(), batches(), 4 / 255)
    assert list(table[4 / 255]) == [1, 5, 10]
    told = [found.attack.rpartition(", ")[2] for found in table[4 / 255].values()]
    assert told == ["1 step", "5 steps", "10 steps"]
    assert table[4 / 255][5].attack == "untargeted PGD, linf, eps 4/255, 5 steps"


def test_fgsm_takes_its_one_step_of_eps():
    model = network()
    table = evaluate_attacks(model, batches(), (0.05, 0.1), attack=FGSM())
    assert table == {eps: {1: evaluate(model, batches(), attack=FGSM(eps=eps))} for eps in (0.05, 0.1)}
    assert evaluate_attacks(model, batches(), 0.1, 1, FGSM()) == {0.1: table[0.1]}
    with pytest.raises(ValueError, match="steps of FGSM is always 1, got 5"):
        evaluate_attacks(model, batches(), steps=(1, 5), attack=FGSM())
    found = evaluate_attacks(model, batches(), 0.1, 4, IFGSM())
    assert found[0.1][4] == evaluate(
        model, batches(), attack=IFGSM(eps=0.1, steps=4, step_size=2.5 * 0.1 / 4)
    )


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [{"corruption": "fog"}, {"severity": 2}])
def test_a_corruption_and_its_severity_go_together(half):
    with pytest.raises(ValueError, match="corruption and severity go together"):
        evaluate(Echo(), batches(), **half)


@pytest.mark.parametrize("changed", [0, 9])  # an image of the first batch, one of a later batch
def test_classes_that_the_model_does_not_have_are_named(changed):
    images, labels = data()
    labels[changed] = 50
    given = list(zip(images.split(4), labels.split(4), strict=True))
    with pytest.raises(ValueError, match=r"labels must be classes from 0 to 6, as the model has .* to 50;"):
        evaluate(Echo(), given)


def test_single_values_are_taken_for_tables_of_one():
    assert evaluate_corruptions(Echo(), batches(), "fog", 3) == evaluate_corruptions(
        Echo(), batches(), ("fog",), (3,)
    )
    model = network()
    assert evaluate_attacks(model, batches(), 0.1, 2) == evaluate_attacks(model, batches(), (0.1,), (2,))


def test_normalised_images_are_refused_at_once():
    images, labels = data()
    with pytest.raises(ValueError, match=r"must be pixels in \[0, 1\]"):
        evaluate(Echo(), [((images - 0.5) / 0.25, labels)])


@pytest.mark.parametrize("empty", [[], [(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long))]])
def test_no_images_are_an_error(empty):
    with pytest.raises(ValueError, match="no images to evaluate"):
        evaluate(Echo(), empty)


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate_corruptions(Echo(), batches(), kinds=())


def test_logits_that_are_no_numbers_are_an_error():
    class Broken(Echo):
        def forward(self, images):
            return super().forward(images) * math.nan

    with pytest.raises(
        FloatingPointError, match="NaN logits on images with fog of severity 1; evaluate in fp32"
    ):
        evaluate_corruptions(Broken(), batches(), kinds=("fog",))
    with pytest.raises(FloatingPointError, match="NaN logits on clean images"):
        evaluate(Broken(), batches())


# --- several ranks -------------------------------------------------------------------------------

COUNT, RANKS = 13, 2
SAMPLERS = {"timm": OrderedDistributedSampler, "torch": lambda *a: DistributedSampler(*a, shuffle=False)}


def loaders(rank):
    """Every way to give a rank its images; the samplers pad 13 images to 14."""
    dataset = TensorDataset(*data(COUNT))
    found = {
        name: DataLoader(dataset, batch_size=3, sampler=make(dataset, RANKS, rank))
        for name, make in SAMPLERS.items()
    }
    if dist.is_initialized():
        found["share"] = DataLoader(rank_share(dataset), batch_size=3)
    return found


def of_everything(model, ways):
    table = {}
    for name, loader in ways.items():
        table[name] = [
            evaluate(model, loader),
            *evaluate_corruptions(model, loader, ("gaussian_noise", "fog"), (1, 5))[
                "gaussian_noise"
            ].values(),
            evaluate(model, loader, attack=FGSM(eps=0.1)),
        ]
    return table


def not_to_be_called(*_):
    raise AssertionError("the wrapper ran")


def on_a_rank(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=RANKS)
    model = network()
    found = of_everything(model, loaders(rank))
    wrapped = nn.parallel.DistributedDataParallel(model)
    wrapped.register_forward_pre_hook(not_to_be_called)  # ranks with unequal numbers of batches would hang
    found["ddp"] = [evaluate(m, loaders(rank)["share"]) for m in (wrapped, PixelModel(wrapped, 0.0, 1.0))]
    found["alone"] = [evaluate(model, loaders(rank)["share"], all_ranks=False)]
    starts = []
    model.register_forward_pre_hook(lambda _, inputs: starts.append(inputs[0]))
    grey = [(torch.full((3, 1, 8, 8), 0.5), torch.arange(3))]
    evaluate(model, grey, attack=PGD(eps=0.1, steps=0, targeted=None), seed=5)
    torch.save(starts, f"{folder}/starts{rank}.pt")
    torch.save({name: [vars(a) for a in row] for name, row in found.items()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_count_every_image_once(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(on_a_rank, (port, str(tmp_path)), nprocs=RANKS)
    expected = of_everything(network(), {"one": DataLoader(TensorDataset(*data(COUNT)), batch_size=4)})["one"]
    per_rank = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
    for found in per_rank:
        for way in ("timm", "torch", "share"):
            for got, one in zip(found[way], expected, strict=True):
                assert (got["n"], got["top1"], got["top5"]) == (COUNT, one.top1, one.top5)
                assert got["loss"] == pytest.approx(one.loss, rel=1e-5)
        assert [got["top1"] for got in found["ddp"]] == [expected[0].top1] * 2
    assert [found["alone"][0]["n"] for found in per_rank] == [7, 6]
    (first,), (second,) = (torch.load(tmp_path / f"starts{rank}.pt") for rank in range(RANKS))
    assert not torch.isclose(first, second).flatten(1).all(1).any()  # each image has noise of its own


@pytest.mark.parametrize("make", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("count", [12, 13, 14, 15])
def test_padding_is_known_without_ranks(make, count):
    dataset = TensorDataset(*data(count))
    own = [
        images_without_padding(DataLoader(dataset, sampler=make(dataset, 4, rank), batch_size=2))
        for rank in range(4)
    ]
    assert own == [len(range(rank, count, 4)) for rank in range(4)]
    assert images_without_padding(DataLoader(dataset)) is None


def test_a_sampler_that_leaves_images_out_is_refused():
    dataset = TensorDataset(*data())
    sampler = DistributedSampler(dataset, 2, 0, drop_last=True)
    with pytest.raises(ValueError, match="pass drop_last=False"):
        evaluate(Echo(), DataLoader(dataset, sampler=sampler))


def test_a_share_needs_a_length():
    with pytest.raises(ValueError, match="a data set with a length, got object"):
        rank_share(object())
