"""Auxiliary norms: what is wrapped, how it is routed, what survives, what is refused."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import timm
import torch
from timm.layers import (
    BatchNormAct2d,
    FrozenBatchNormAct2d,
    SyncBatchNormAct,
    convert_sync_batchnorm,
    freeze_batch_norm_2d,
)
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from advprop import add_aux_norm, branch_names, branch_parameters, remove_aux_norm, use_branch
from advprop.norms.aux_norm import AuxNorm
from advprop.norms.wrap import aux_norms


def tiny(**kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model("test_efficientnet", num_classes=5, **kwargs).eval()
    return model


def stirred(model: nn.Module) -> nn.Module:
    """The model with auxiliary branches that differ from the main one."""
    torch.manual_seed(3)
    for layer in aux_norms(model):
        for tensor in (*layer.aux.parameters(), *layer.aux.buffers()):
            if tensor.is_floating_point():
                tensor.data += 0.3 * torch.rand_like(tensor)
    return model


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def through(model: nn.Module, images: Tensor, branch: str | dict[str, int]) -> Tensor:
    with torch.no_grad(), use_branch(model, branch):
        logits: Tensor = model(images)
    return logits


class TestWrapping:
    @pytest.mark.parametrize(
        ("norm", "shape"),
        [
            (nn.BatchNorm1d(4), (6, 4)),
            (nn.BatchNorm1d(4), (6, 4, 5)),
            (nn.BatchNorm2d(4), (6, 4, 5, 5)),
            (nn.BatchNorm3d(4), (6, 4, 3, 3, 3)),
            (nn.BatchNorm2d(4, affine=False), (6, 4, 5, 5)),
            (nn.BatchNorm2d(4, track_running_stats=False), (6, 4, 5, 5)),
            (nn.BatchNorm2d(4, momentum=None), (6, 4, 5, 5)),
            (nn.SyncBatchNorm(4), (6, 4, 5, 5)),
            (BatchNormAct2d(4, act_layer=nn.SiLU), (6, 4, 5, 5)),
            (SyncBatchNormAct(4), (6, 4, 5, 5)),
            (nn.LayerNorm(5), (6, 4, 5)),
            (nn.GroupNorm(2, 4), (6, 4, 5, 5)),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(len(value)),
    )
    @pytest.mark.parametrize("training", [True, False])
    def test_every_kind_is_bit_identical(
        self, norm: nn.Module, shape: tuple[int, ...], training: bool
    ) -> None:
        if isinstance(norm, SyncBatchNormAct):
            norm.act, norm.drop = nn.ReLU(), nn.Identity()
        plain = nn.Sequential(copy.deepcopy(norm)).train(training)
        wrapped = add_aux_norm(copy.deepcopy(plain), norms="all")
        x = torch.randn(shape)
        for _ in range(3):
            assert torch.equal(wrapped(x.clone()), plain(x.clone()))
        main = {k.replace(".main", ""): v for k, v in wrapped.state_dict().items() if ".aux." not in k}
        assert main.keys() == plain.state_dict().keys()
        assert all(torch.equal(main[key], value) for key, value in plain.state_dict().items())

    def test_a_training_step_is_bit_identical(self, images: Tensor) -> None:
        """Logits, gradients, parameters and running statistics, whatever the auxiliaries hold."""
        states = []
        for model in (tiny(drop_path_rate=0.2), stirred(add_aux_norm(tiny(drop_path_rate=0.2)))):
            model.train()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            torch.manual_seed(1)  # of the paths that are dropped
            for _ in range(2):
                optimizer.zero_grad()
                logits = model(images)
                logits.square().mean().backward()
                optimizer.step()
            state = {key: value for key, value in model.state_dict().items() if ".aux." not in key}
            states.append([logits.detach(), *state.values()])
        assert all(torch.equal(plain, wrapped) for plain, wrapped in zip(*states, strict=True))

    def test_fault_of_activations_that_are_lost_or_left_out(self) -> None:
        """timm's converter of before 1.0.31 dropped all 49 of efficientnet_b0's; ours holds the layers."""
        plain = timm.create_model("efficientnet_b0")
        count = sum(isinstance(module, nn.SiLU) for module in plain.modules())
        wrapped = add_aux_norm(plain)
        for layer in aux_norms(wrapped):
            assert type(layer.aux["adv"].act) is type(layer.main.act)
            assert type(layer.aux["adv"].drop) is type(layer.main.drop)
        assert sum(1 for _ in aux_norms(wrapped)) == 49
        remove_aux_norm(wrapped)
        assert sum(isinstance(module, nn.SiLU) for module in wrapped.modules()) == count

    @pytest.mark.parametrize("branch", ["main", "adv"])
    def test_fault_of_drop_layers_that_are_lost(self, branch: str) -> None:
        norm = BatchNormAct2d(4, act_layer=nn.Sigmoid, drop_layer=nn.Dropout)
        plain = nn.Sequential(norm).train()
        wrapped = add_aux_norm(copy.deepcopy(plain))
        x = torch.randn(6, 4, 5, 5)
        outputs = []
        for model in (plain, wrapped):
            torch.manual_seed(1)
            with use_branch(wrapped, branch):
                outputs.append(model(x))
        assert torch.equal(*outputs)
        assert (outputs[1] == 0.5).any()  # what is dropped, then goes through the sigmoid

    def test_auxiliaries_start_as_copies_of_a_trained_norm(self, images: Tensor) -> None:
        model = tiny().train()
        model(images)
        wrapped = add_aux_norm(model.eval())
        assert torch.equal(through(wrapped, images, "adv"), through(wrapped, images, "main"))
        first = next(aux_norms(wrapped))
        assert first.aux["adv"].weight is not first.main.weight

    def test_a_layer_that_stands_twice_is_wrapped_once(self) -> None:
        shared = nn.BatchNorm2d(3)
        model = add_aux_norm(nn.Sequential(shared, nn.ReLU(), shared))
        assert model[0] is model[2]
        assert isinstance(model[0], AuxNorm)
        assert model[0].main is shared
        assert remove_aux_norm(model)[2] is shared

    @pytest.mark.parametrize(
        "name", ["test_vit", "test_convnext", "test_efficientnet_gn", "test_efficientnet_ln"]
    )
    def test_all_norms_for_models_without_batch_norm(self, name: str) -> None:
        plain = timm.create_model(name, num_classes=5).eval()
        size = plain.pretrained_cfg["input_size"][-1]
        images = torch.rand(3, 3, size, size)
        wrapped = stirred(add_aux_norm(copy.deepcopy(plain), norms="all"))
        main, adv = through(wrapped, images, "main"), through(wrapped, images, "adv")
        with torch.no_grad():
            assert torch.equal(main, plain(images))
        mixed = through(wrapped, images, {"main": 1, "adv": 2})
        torch.testing.assert_close(mixed, torch.cat([main[:1], adv[1:]]))
        assert not torch.allclose(main, adv)

    def test_chosen_classes(self) -> None:
        model = add_aux_norm(nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3)), norms=(nn.GroupNorm,))
        assert isinstance(model[0], nn.BatchNorm2d)
        assert isinstance(model[1], AuxNorm)

    def test_reads_of_the_norm_reach_the_main_layer(self) -> None:
        model = add_aux_norm(tiny())
        layer = next(aux_norms(model))
        assert layer.weight is layer.main.weight
        assert layer.num_features == layer.main.num_features
        assert "branches=('main', 'adv')" in repr(model)
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            _ = layer.nonsense


class TestRouting:
    def test_parts_of_any_size(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(tiny(), branches=("adv", "aa")))
        whole = {name: through(model, images, name) for name in ("main", "adv", "aa")}
        for sizes in [(1, 3, 2), (4, 1, 1), (0, 6, 0), (3, 0, 3)]:
            parts = dict(zip(whole, sizes, strict=True))
            bounds = torch.tensor((0, *sizes)).cumsum(0)
            expected = torch.cat(
                [whole[name][bounds[i] : bounds[i + 1]] for i, name in enumerate(whole) if sizes[i]]
            )
            torch.testing.assert_close(through(model, images, parts), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("training", [True, False])
    def test_fault_of_an_auxiliary_norm_that_cannot_run_alone(self, images: Tensor, training: bool) -> None:
        """A pass through one branch is that of its layers alone, and moves its statistics alone."""
        model = stirred(add_aux_norm(tiny())).train(training)
        expected = remove_aux_norm(copy.deepcopy(model), keep="adv")
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad():
            assert torch.equal(through(model, images, "adv"), expected(images))
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert bool(moved) == training
        assert all(".aux.adv." in name for name in moved)

    def test_each_part_has_statistics_of_its_own(self) -> None:
        """A part is normalised by its own mean, not by that of the whole batch."""
        model = add_aux_norm(nn.Sequential(nn.BatchNorm2d(1))).train()
        x = torch.cat([torch.randn(4, 1, 3, 3), 100 + torch.randn(2, 1, 3, 3)])
        with use_branch(model, {"main": 4, "adv": 2}):
            out = model(x)
        assert out[:4].mean().abs() < 1e-5
        assert out[4:].mean().abs() < 1e-4
        assert model[0].main.running_mean < 1
        assert model[0].aux["adv"].running_mean > 5

    def test_layers_that_see_several_rows_an_image(self) -> None:
        """Tokens and windows of one image lie together, so the parts scale with them."""
        model = stirred(add_aux_norm(nn.Sequential(nn.Flatten(0, 1), nn.BatchNorm1d(4)).eval()))
        tokens = torch.randn(3, 5, 4)
        main, adv = through(model, tokens, "main"), through(model, tokens, "adv")
        mixed = through(model, tokens, {"main": 1, "adv": 2})
        torch.testing.assert_close(mixed, torch.cat([main[:5], adv[5:]]))

    def test_tied_parameters_are_listed_once(self) -> None:
        model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
        model[1].weight = model[0].weight
        groups = branch_parameters(add_aux_norm(model))
        assert len(groups["main"]) == 3

    def test_nesting_and_exceptions_restore(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(tiny()))
        main, adv = through(model, images, "main"), through(model, images, "adv")
        with torch.no_grad(), use_branch(model, "adv"):
            with use_branch(model, "main"):
                assert torch.equal(model(images), main)
            assert torch.equal(model(images), adv)
            with pytest.raises(RuntimeError, match="on purpose"), use_branch(model, "main"):
                raise RuntimeError("on purpose")
            assert torch.equal(model(images), adv)
        with torch.no_grad():
            assert torch.equal(model(images), main)

    def test_copies_choose_for_themselves(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(tiny()))
        twin = copy.deepcopy(model)
        with torch.no_grad(), use_branch(model, "adv"):
            assert torch.equal(twin(images), through(twin, images, "main"))
            assert not torch.equal(twin(images), model(images))

    def test_parameters_are_each_in_one_group(self) -> None:
        model = add_aux_norm(tiny(), branches=("adv", "aa"))
        groups = branch_parameters(model)
        assert list(groups) == ["shared", "main", "adv", "aa"]
        listed = [id(p) for group in groups.values() for p in group]
        assert len(listed) == len(set(listed)) == len(list(model.parameters()))
        layers = list(aux_norms(model))
        assert len(groups["main"]) == len(groups["adv"]) == len(groups["aa"]) == 2 * len(layers)
        assert {id(p) for p in groups["adv"]} == {id(p) for m in layers for p in m.aux["adv"].parameters()}
        assert branch_parameters(tiny()).keys() == {"shared", "main"}


class TestAblations:
    def test_affine_only(self, images: Tensor) -> None:
        model = add_aux_norm(tiny(), separate="affine").train()
        layer = next(aux_norms(model))
        assert {name for name, _ in layer.aux["adv"].named_parameters()} == {"weight", "bias"}
        assert not list(layer.aux["adv"].buffers())
        before = layer.main.running_mean.clone()
        through(model, images, "adv")
        assert not torch.equal(layer.main.running_mean, before)
        self.adv_differs_from_main(model.eval(), images)

    def test_statistics_only(self, images: Tensor) -> None:
        model = add_aux_norm(tiny(), separate="statistics").train()
        layer = next(aux_norms(model))
        assert not list(layer.aux["adv"].parameters())
        before = layer.main.running_mean.clone()
        through(model, images, "adv")
        assert torch.equal(layer.main.running_mean, before)
        assert layer.aux["adv"].num_batches_tracked == 1
        groups = branch_parameters(model)
        assert not groups["main"]
        assert not groups["adv"]
        assert len(groups["shared"]) == len(list(model.parameters()))
        self.adv_differs_from_main(model.eval(), images)

    @staticmethod
    def adv_differs_from_main(model: nn.Module, images: Tensor) -> None:
        stirred(model)
        adv = through(model, images, "adv")
        assert not torch.allclose(adv, through(model, images, "main"))
        kept = remove_aux_norm(copy.deepcopy(model), keep="adv")
        with torch.no_grad():
            assert torch.equal(kept(images), adv)
        assert list(kept.state_dict()) == list(tiny().state_dict())

    def test_gradients_reach_the_separate_parameters(self, images: Tensor) -> None:
        model = add_aux_norm(tiny(), separate="affine")
        with use_branch(model, "adv"):
            model(images).sum().backward()
        layer = next(aux_norms(model))
        assert layer.main.weight.grad is None
        assert layer.aux["adv"].weight.grad is not None

    def test_nothing_to_separate(self) -> None:
        with pytest.raises(ValueError, match="LayerNorm: it has no statistics; use separate='both'"):
            add_aux_norm(nn.Sequential(nn.LayerNorm(3)), norms="all", separate="statistics")


class TestRemoval:
    def test_the_plain_model_is_back(self, images: Tensor) -> None:
        plain = tiny()
        layers = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
        state = {key: value.clone() for key, value in plain.state_dict().items()}
        model = remove_aux_norm(stirred(add_aux_norm(plain)))
        assert [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == layers
        assert list(model.state_dict()) == list(state)
        assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
        timm.create_model("test_efficientnet", num_classes=5).load_state_dict(model.state_dict())

    def test_keeping_an_auxiliary_branch(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(tiny()))
        adv = through(model, images, "adv")
        kept = remove_aux_norm(model, keep="adv")
        with torch.no_grad():
            assert torch.equal(kept(images), adv)
        assert branch_names(kept) == ("main",)

    @pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
    def test_keeping_a_branch_whose_activation_learns(self, separate: str) -> None:
        norm = BatchNormAct2d(4, act_layer=nn.PReLU)
        keys = list(nn.Sequential(norm).state_dict())
        model = stirred(add_aux_norm(nn.Sequential(norm).eval(), separate=separate))
        x = torch.randn(6, 4, 5, 5)
        adv = through(model, x, "adv")
        kept = remove_aux_norm(model, keep="adv")
        assert torch.equal(kept(x), adv)
        assert list(kept.state_dict()) == keys

    def test_keeping_a_branch_with_a_buffer_that_is_not_saved(self) -> None:
        norm = nn.BatchNorm2d(4)
        norm.register_buffer("seen", torch.zeros(()), persistent=False)
        keys = list(nn.Sequential(norm).state_dict())
        model = add_aux_norm(nn.Sequential(norm))
        model[0].aux["adv"].seen += 1
        kept = remove_aux_norm(model, keep="adv")
        assert list(kept.state_dict()) == keys
        assert kept[0].seen == 1


class TestLifeOfAModel:
    def test_save_pickle_and_ema(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(tiny()))
        fresh = add_aux_norm(tiny())
        fresh.load_state_dict(model.state_dict())
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        copies = [
            fresh,
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
            torch.load(file, weights_only=False),
            ModelEmaV3(model).module,
        ]
        for twin in copies:
            for branch in ("main", "adv", {"main": 2, "adv": 4}):
                assert torch.equal(through(twin, images, branch), through(model, images, branch))

    def test_fault_of_no_average_of_weights_ema_follows_every_branch(self) -> None:
        model = add_aux_norm(tiny())
        ema = ModelEmaV3(model, decay=0.5)
        before = next(aux_norms(model)).aux["adv"].weight.detach().clone()
        next(aux_norms(model)).aux["adv"].weight.data += 1
        ema.update(model)
        torch.testing.assert_close(next(aux_norms(ema.module)).aux["adv"].weight.detach(), before + 0.5)

    @pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
    def test_compiles_without_graph_breaks(self, images: Tensor, separate: str) -> None:
        torch._dynamo.reset()
        model = stirred(add_aux_norm(tiny(), separate=separate))
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        for branch in ("main", "adv", {"main": 2, "adv": 4}, "main"):
            expected = through(model, images, branch)
            torch.testing.assert_close(through(compiled, images, branch), expected)
        model.train()
        compiled(images)

    @pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
    def test_fault_of_no_export(self, images: Tensor, separate: str) -> None:
        model = stirred(add_aux_norm(tiny(), separate=separate))
        exported = []
        for branch in ("main", "adv"):
            with use_branch(model, branch):
                program = torch.export.export(model, (images,))
            exported.append(program.module()(images))
            torch.testing.assert_close(exported[-1], through(model, images, branch))
        assert not torch.allclose(*exported)

    def test_channels_last(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(tiny()))
        expected = through(model, images, {"main": 2, "adv": 4})
        model.to(memory_format=torch.channels_last)
        seen: list[bool] = []
        next(aux_norms(model)).register_forward_hook(
            lambda _m, _x, out: seen.append(out.is_contiguous(memory_format=torch.channels_last))
        )
        logits = through(model, images.to(memory_format=torch.channels_last), {"main": 2, "adv": 4})
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
        assert seen == [True]

    @pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast(self, images: Tensor, dtype: torch.dtype, separate: str) -> None:
        plain = tiny()
        model = stirred(add_aux_norm(copy.deepcopy(plain), separate=separate))
        with torch.autocast("cpu", dtype=dtype):
            with torch.no_grad():
                assert torch.equal(through(model, images, "main"), plain(images))
            mixed = through(model, images, {"main": 2, "adv": 4})
            adv = remove_aux_norm(copy.deepcopy(model), keep="adv")(images[2:])
        assert mixed.dtype == dtype
        torch.testing.assert_close(mixed[2:], adv)

    @pytest.mark.parametrize("separate", ["both", "affine", "statistics"])
    def test_synchronised_after_wrapping(self, images: Tensor, separate: str) -> None:
        """Every branch is converted and none is lost, as timm's SplitBatchNorm loses its auxiliary."""
        model = stirred(add_aux_norm(tiny(), separate=separate))
        expected = {branch: through(model, images, branch) for branch in ("main", "adv")}
        model = convert_sync_batchnorm(model)
        for layer in aux_norms(model):
            assert isinstance(layer.main, nn.SyncBatchNorm)
            assert isinstance(layer.aux["adv"], nn.SyncBatchNorm) or separate != "both"
        for branch, logits in expected.items():
            assert torch.equal(through(model, images, branch), logits)
        assert not torch.allclose(expected["main"], expected["adv"])
        kept = remove_aux_norm(model, keep="adv")
        with torch.no_grad():
            assert torch.equal(kept(images), expected["adv"])

    def test_synchronised_before_wrapping(self, images: Tensor) -> None:
        model = stirred(add_aux_norm(convert_sync_batchnorm(tiny())))
        assert all(isinstance(layer.aux["adv"], SyncBatchNormAct) for layer in aux_norms(model))
        assert not torch.allclose(through(model, images, "adv"), through(model, images, "main"))


class TestRefusals:
    def test_no_batch_norm(self) -> None:
        with pytest.raises(ValueError, match=r"it has \d+ LayerNorm.*: call .*norms='all'\), before a task"):
            add_aux_norm(timm.create_model("test_convnext"))
        with pytest.raises(ValueError, match="it has no norm layer that is trained at all"):
            add_aux_norm(nn.Sequential(nn.Linear(2, 2)))

    def test_frozen_norms(self) -> None:
        model = tiny()
        freeze_batch_norm_2d(model.blocks)
        with pytest.raises(ValueError, match=r"\d+ norm layers are frozen \(first: 'blocks"):
            add_aux_norm(model)
        frozen = {name: m for name, m in model.named_modules() if isinstance(m, FrozenBatchNormAct2d)}
        assert frozen
        left = add_aux_norm(model, frozen="leave")
        assert all(left.get_submodule(name) is module for name, module in frozen.items())
        assert not any(isinstance(layer.main, FrozenBatchNormAct2d) for layer in aux_norms(left))
        assert branch_names(left) == ("main", "adv")

    def test_norms_without_a_trained_parameter_are_frozen(self) -> None:
        model = tiny()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        with pytest.raises(ValueError, match="are frozen"):
            add_aux_norm(model)
        with pytest.raises(ValueError, match="has no norm layer that is trained at all"):
            add_aux_norm(model, frozen="leave")
        model.bn1.bias.requires_grad_()
        left = add_aux_norm(model, frozen="leave")
        assert [layer.main for layer in aux_norms(left)] == [left.bn1.main]

    @pytest.mark.parametrize("branches", ["adv", (), ("main",), ("shared",), ("a b",), ("keys",), ("a", "a")])
    def test_branch_names(self, branches: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="branch"):
            add_aux_norm(tiny(), branches=branches)

    def test_twice(self) -> None:
        with pytest.raises(ValueError, match=r"already, \('main', 'adv'\); call remove_aux_norm"):
            add_aux_norm(add_aux_norm(tiny()))

    def test_settings(self) -> None:
        with pytest.raises(ValueError, match=r"separate must be .* got 'all'"):
            add_aux_norm(tiny(), separate="all")
        with pytest.raises(ValueError, match=r"norms must be .* got 'layer'"):
            add_aux_norm(tiny(), norms="layer")
        with pytest.raises(ValueError, match=r"frozen must be .* got 'skip'"):
            add_aux_norm(tiny(), frozen="skip")

    def test_routes(self, images: Tensor) -> None:
        model = add_aux_norm(tiny())
        with pytest.raises(ValueError, match=r"has the branches \('main', 'adv'\), got 'aa'"):
            through(model, images, "aa")
        with pytest.raises(ValueError, match="has no auxiliary norms; call add_aux_norm"):
            through(tiny(), images, "main")
        for parts in ({"main": -1, "adv": 7}, {"main": 0}, {}, {"main": 2.0, "adv": 4}):
            with pytest.raises(ValueError, match="parts of a batch must be whole numbers"):
                through(model, images, parts)
        with pytest.raises(ValueError, match="make 4, and the batch is 6"):
            through(model, images, {"main": 2, "adv": 2})
        assert torch.equal(through(model, images, "main"), through(model, images, "adv"))

    def test_removal(self) -> None:
        with pytest.raises(ValueError, match="keep must be a branch"):
            remove_aux_norm(tiny())
        with pytest.raises(ValueError, match="got 'aa'"):
            remove_aux_norm(add_aux_norm(tiny()), keep="aa")
