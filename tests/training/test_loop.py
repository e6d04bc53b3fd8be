import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import v2

from advprop import train
from advprop.data.augment import AutoAugmented
from advprop.data.batches import Data, TensorSet
from advprop.data.open import open_data
from advprop.models import create_model
from advprop.norms.aux_norm import AuxNorm
from advprop.norms.wrap import branch_names
from advprop.recipes.recipe import make_recipe
from advprop.runtime import World, seed_all, seed_cpu
from advprop.training.build import build_model, build_task
from advprop.training.loop import Loop
from tests.reference import NoWait

CPU = World(torch.device("cpu"))
SMALL = make_recipe(
    train_images=40, batch_size=20, epochs=2, severities=(), method="standard", warmup_epochs=0
)


def loop(taken=0, **changes):
    """A run of these settings after so many steps."""
    made = Loop(make_recipe(vars(SMALL), **changes), CPU)
    batches = made.train_batches.epoch(0)
    for _ in range(taken):
        made.advance(*next(batches))
    return made


def parameters(made):
    return torch.cat([p.detach().flatten() for p in made.task.parameters()])


def test_accumulated_parts_take_the_step_of_the_whole_batch():
    norms = tuple(f"stages.{stage}.bn" for stage in range(3))  # their statistics would tell parts apart
    whole, parts = (loop(2, freeze=norms, accumulate=count) for count in (1, 4))
    torch.testing.assert_close(parameters(parts), parameters(whole), rtol=1e-4, atol=1e-6)
    assert parts.losses.mean()["loss"] == pytest.approx(whole.losses.mean()["loss"], rel=1e-4)
    assert not torch.equal(parameters(loop(0, freeze=norms)), parameters(whole))


def test_gradients_are_clipped():
    plain = {"opt": "momentum", "momentum": 0.0, "weight_decay": 0.0, "lr": 1.0}
    before = parameters(loop(**plain))

    def moved(**changes):
        return float((parameters(loop(1, **plain, **changes)) - before).norm())

    assert moved() > 0.5
    assert moved(clip_grad=0.25) == pytest.approx(0.25, rel=1e-4)


def test_mixed_precision_computes_in_it_and_keeps_fp32():
    seen = []
    made = loop(precision="bf16")
    for module in made.task.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    made.advance(*next(made.train_batches.epoch(0)))
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in made.task.parameters()} == {torch.float32}
    difference = parameters(made) - parameters(loop(1))
    assert 0 < difference.abs().max() < 0.05


def test_fp16_scales_the_loss_and_keeps_its_scale():
    made = loop(1, precision="fp16")
    assert made.scaler.is_enabled()
    assert made.state()["scaler"]["scale"] == made.scaler.get_scale() > 1
    difference = parameters(made) - parameters(loop(1))
    assert 0 < difference.abs().max() < 0.05
    made.scaler.update(8.0)
    other = loop(precision="fp16")
    other.load(made.state())
    assert other.scaler.get_scale() == 8


def test_fast_advprop_keeps_the_scale_of_its_attack():
    fast = {"method": "fast", "steps": 1, "target": "none", "precision": "fp16"}
    made, other = loop(1, **fast), loop(**fast)
    made.task.scale.fill_(32.0)
    other.load(made.state())
    assert float(other.task.scale) == 32
    other.load({name: value for name, value in loop(**fast).state().items() if name != "task"})
    assert float(other.task.scale) == 32


def test_the_average_of_the_weights_is_tested_and_kept():
    made = loop(ema=0.75)
    expected = []
    for step, (images, labels) in enumerate(made.train_batches.epoch(0)):
        made.advance(images, labels)
        now = [p.detach().clone() for p in made.task.trainable_module.parameters()]
        # timm's average begins with the weights after the first step
        expected = [0.75 * a + 0.25 * b for a, b in zip(expected, now, strict=True)] if step else now
    for found, mean in zip(made.model().parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), mean)
    other = loop(ema=0.75)
    other.load(made.state())
    assert all(map(torch.equal, made.model().state_dict().values(), other.model().state_dict().values()))
    assert made.test() == other.test()


def test_mixup_and_cutmix_mix_the_clean_images_only():
    made = loop(method="advprop", mixup=0.5, cutmix=0.5, label_smoothing=0.1)
    images, labels = next(made.train_batches.epoch(0))
    seen = []
    made.task.trainable_module.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    torch.manual_seed(0)
    parts = made.task(images, labels)
    clean, adversarial = seen[-1].chunk(2)
    assert not torch.equal(clean, images)
    assert (adversarial - images).abs().max() <= made.recipe.eps + 1e-6
    entropy_of_smoothing = -(0.91 * math.log(0.91) + 9 * 0.01 * math.log(0.01))
    assert parts["loss_adv"] > entropy_of_smoothing
    with pytest.raises(ValueError, match="and mixup wants pairs of images; --batch-size 16 could"):
        loop(mixup=0.5, accumulate=4)


def test_fine_grained_has_a_branch_for_augmented_images():
    made = loop(1, method="fine-grained")
    assert branch_names(made.task.trainable_module) == ("main", "adv", "aug")
    assert made.losses.mean().keys() == {"loss", "loss_clean", "loss_adv", "loss_aug"}


def test_what_is_frozen_stays_and_the_rest_moves():
    first = ("stages.0", "stages.1")
    before, after = loop(freeze=first, method="advprop"), loop(2, freeze=first, method="advprop")
    frozen = {name for name in before.state()["model"] if name.startswith(first)}
    assert len(frozen) > 8
    for name, value in before.state()["model"].items():
        assert torch.equal(value, after.state()["model"][name]) == (name in frozen), name
    with pytest.raises(ValueError, match=r"no part .stages\.7. to freeze; its parts are stages, head"):
        loop(freeze=("stages.7",))
    with pytest.raises(
        ValueError, match=r"must be trained, got --freeze stages head; leave out a part of it$"
    ):
        loop(freeze=("stages", "head"), method="advprop")


def test_images_are_flipped_shifted_and_erased_at_random():
    for change in ({"flip": 1.0}, {"shift": 2}, {"erase": 1.0}):
        made = loop(**change)
        images, _ = next(made.train_batches.epoch(0))
        torch.manual_seed(0)
        changed = made.augment(images)
        assert changed.shape == images.shape
        assert 0 <= changed.min() <= changed.max() <= 1
        if "flip" in change:
            assert torch.equal(changed, images.flip(3))
        else:
            assert sum(not torch.equal(*pair) for pair in zip(changed, images, strict=True)) > 15
    shifted = loop(shift=1).augment(torch.full((200, 1, 4, 4), 0.5))
    assert {tuple(x.shape) for x in shifted} == {(1, 4, 4)}
    assert {int((x > 0).sum()) for x in shifted} == {16, 12, 9}


def test_other_weights_are_a_start_with_a_new_last_layer(tmp_path):
    source = create_model("advprop_convnet", num_classes=7, in_chans=3)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pth")
    data = open_data(SMALL, SMALL, {})
    for name in ("weights.safetensors", "weights.pth"):
        model = build_model(make_recipe(vars(SMALL), weights=str(tmp_path / name)), data)
        assert torch.equal(model.stages[1].conv.weight, source.stages[1].conv.weight)
        torch.testing.assert_close(
            model.stages[0].conv.weight, source.stages[0].conv.weight.sum(1, keepdim=True)
        )
        assert model.head.weight.shape == (10, 64)
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    torch.save({"x": torch.ones(1)}, tmp_path / "other.pth")
    for name, message in (
        ("none.pth", "there are no weights"),
        ("bad.pth", "cannot read"),
        ("other.pth", "does not have the weights of advprop_convnet: 15 missing"),
    ):
        with pytest.raises(ValueError, match=message):
            build_model(make_recipe(vars(SMALL), weights=str(tmp_path / name)), data)


def colour(size):
    """Data of two colour images and two classes."""
    images = TensorSet(torch.rand(2, 3, size, size), torch.tensor([0, 1]))
    return Data(train=images, test=images, class_names=("a", "b"), shape=(3, size, size))


def test_a_model_is_made_for_the_size_of_the_images():
    model = build_model(make_recipe(vars(SMALL), model="test_vit"), colour(64))
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 2)


def test_other_norms_than_batch_norms_have_branches_on_demand():
    recipe = make_recipe(vars(SMALL), model="test_vit", method="advprop", norms="all")
    task = build_task(recipe, build_model(recipe, colour(64)), 2, torch.device("cpu"))
    assert {type(m.main).__name__ for m in task.modules() if isinstance(m, AuxNorm)} == {"LayerNorm"}
    task(*next(colour(64).train.batches(iter([[0, 1]]))))["loss"].backward()
    with pytest.raises(ValueError, match=r"no norm layer of the kind norms='batch'.*LayerNorm"):
        build_task(
            make_recipe(vars(recipe), norms="batch"), build_model(recipe, colour(64)), 2, torch.device("cpu")
        )


def test_momentum_of_batch_norms_is_set_on_all_branches():
    data = open_data(SMALL, SMALL, {})
    recipe = make_recipe(vars(SMALL), bn_momentum=0.01, method="advprop")
    task = build_task(recipe, build_model(recipe, data), 10, torch.device("cpu"))
    wrapped = [m for m in task.modules() if isinstance(m, AuxNorm)]
    assert len(wrapped) == 3
    assert {norm.momentum for each in wrapped for norm in (each.main, *each.aux.values())} == {0.01}


def test_channels_last_is_kept_by_the_weights_and_the_images():
    made = loop(channels_last=True, method="advprop")
    seen = []
    made.task.trainable_module.stages[1].conv.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    made.advance(*next(made.train_batches.epoch(0)))
    assert all(seen)
    torch.testing.assert_close(parameters(made), parameters(loop(1, method="advprop")), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor:UserWarning")  # torch's own, on tracing
def test_a_compiled_model_takes_the_same_steps():
    compiled, eager = (loop(2, compile=flag, method="advprop") for flag in (True, False))
    torch.testing.assert_close(parameters(compiled), parameters(eager), rtol=1e-3, atol=1e-4)
    other = loop(compile=True, method="advprop")
    other.load(compiled.state())
    assert other.test() == compiled.test()
    assert not [name for name in compiled.state()["model"] if "_orig_mod" in name]


EVERYTHING = {"ema": 0.9, "clip_grad": 1.0, "flip": 0.5, "shift": 1, "erase": 0.5, "mixup": 0.2}


@pytest.mark.parametrize("method", ["advprop", "fast", "adversarial", "standard"])
def test_no_step_waits_for_a_gpu(method, monkeypatch):
    attack = {"steps": 1, "target": "none"} if method == "fast" else {}
    made = loop(1, method=method, precision="bf16", **EVERYTHING, **attack)
    images, labels = next(made.train_batches.epoch(0))
    with pytest.raises(AssertionError, match=r"_local_scalar_dense|is_nonzero"), NoWait():
        made.advance(images, labels)  # on a CPU each step is looked at before it is taken
    monkeypatch.setattr(Loop, "watched", False)
    with NoWait():
        made.advance(images, labels)
    assert made.step == 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("changes", [{"method": "standard"}, EVERYTHING, {"opt": "adamw", "fused": True}])
def test_on_a_gpu_no_step_waits_for_it(changes):
    settings = {"method": "advprop", "precision": "bf16", "channels_last": True} | changes
    made = Loop(make_recipe(vars(SMALL), **settings), World(torch.device("cuda")))
    batches = made.train_batches.epoch(0)
    made.advance(*next(batches))  # the first step makes room, and chooses kernels
    try:
        torch.cuda.set_sync_debug_mode("error")
        made.advance(*next(batches))
        with pytest.raises(RuntimeError, match="synchroniz"):
            made.is_sound()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert made.is_sound()
    assert made.step == 2


def test_a_fused_optimizer_takes_the_same_steps():
    for opt in ("sgd", "adamw"):
        fused, plain = (loop(2, opt=opt, lr=0.01, fused=flag) for flag in (True, False))
        assert fused.optimizer.defaults["fused"]
        torch.testing.assert_close(parameters(fused), parameters(plain), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"the optimizer 'rmsproptf' cannot be made: .*'fused'"):
        loop(opt="rmsproptf", fused=True)


def test_kernels_are_as_the_recipe_says_and_then_as_before(tmp_path, monkeypatch):
    def now():
        cudnn = torch.backends.cudnn
        return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark

    def look(made, images, labels):
        seen.append(now())
        raise MemoryError

    before, seen = now(), []
    monkeypatch.setattr(Loop, "advance", look)
    for tf32 in (False, True):
        with pytest.raises(MemoryError):
            train(make_recipe(vars(SMALL), tf32=tf32), tmp_path / str(tf32))
        assert now() == before
    assert seen == [("highest", False, True), ("high", True, True)]


def test_sync_batch_norm_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="--sync-batch-norm needs GPUs"):
        loop(sync_batch_norm=True)


def test_reading_an_image_seeds_the_cpu_alone_and_as_a_step_would(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", woken.append)
    seed_cpu(3, 1, 4)
    alone = torch.rand(3)
    assert woken == []
    seed_all(3, 1, 4)
    assert torch.equal(torch.rand(3), alone)
    assert len(woken) == 1


@pytest.mark.parametrize("shape", [(24, 1, 28, 28), (40, 3, 16, 24)])
def test_images_that_draw_the_same_change_get_it_together_and_each_its_own(shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    as_bytes = (255 * images).round().byte()
    one_by_one = v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)
    torch.manual_seed(5)
    expected = torch.stack([one_by_one(image) for image in as_bytes])
    torch.manual_seed(5)
    changed = AutoAugmented()(torch.nn.Identity(), images, torch.zeros(len(images)))
    assert torch.equal((255 * changed).round().byte(), expected)
    assert sum(not torch.equal(a, b) for a, b in zip(expected, as_bytes, strict=True)) > len(images) / 2
