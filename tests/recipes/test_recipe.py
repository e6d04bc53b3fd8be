import pytest
import torch
import yaml
from hypothesis import given, settings, strategies as st
from timm.optim import RMSpropTF

from advprop.models import data_config
from advprop.recipes.fractions import parse_fraction, short_number
from advprop.recipes.recipe import Recipe, make_recipe
from advprop.training.build import SCHEDULES, build_optimizer, build_schedule


def test_the_default_is_advprop_on_digits():
    recipe = make_recipe()
    assert (recipe.data, recipe.model, recipe.method) == ("digits", "advprop_convnet", "advprop")
    assert make_recipe(data="elsewhere").eps == Recipe().eps == 4 / 255
    assert make_recipe(method="fast").target == "none"


def test_later_sources_override_earlier_ones_and_settings_all(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("lr: 1e-3\nepochs: 7\neps: 8/255\n")
    second.write_text("epochs: 8\nseed: 4\n")
    recipe = make_recipe(first, str(second), {"momentum": 0.5}, seed=5)
    assert (recipe.lr, recipe.eps, recipe.epochs) == (0.001, 8 / 255, 8)
    assert (recipe.momentum, recipe.seed) == (0.5, 5)
    assert recipe.model == "advprop_convnet"  # what no source sets has the default of the data


@given(
    epochs=st.integers(1, 1000),
    lr=st.floats(1e-8, 10),
    method=st.sampled_from(("advprop", "fast", "adversarial", "standard")),
    clip_grad=st.none() | st.floats(0.1, 10),
    opt_args=st.dictionaries(st.sampled_from(("alpha", "eps")), st.floats(0, 1)),
    model_args=st.dictionaries(st.sampled_from(("act_layer", "stem_width")), st.integers() | st.text()),
    severities=st.lists(st.integers(1, 5), max_size=5).map(tuple),
)
@settings(deadline=None)  # the first loads pydantic
def test_a_written_recipe_is_read_as_it_was(**settings):
    recipe = make_recipe(settings)
    assert make_recipe(yaml.safe_load(recipe.to_yaml())) == recipe
    assert list(yaml.safe_load(recipe.to_yaml())) == list(vars(recipe))  # written in full


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epohs": 3}, "unknown setting 'epohs'; did you mean epochs"),
        ({"zzzzzz": 3}, "unknown setting 'zzzzzz'; leave it out; `advprop train --help` shows all$"),
        ({"epochs": "ten"}, "epochs: input should be a valid integer.* got 'ten'"),
        ({"epochs": 1.5}, "epochs: .* got 1.5"),
        ({"method": "advprp"}, "method: input should be 'advprop', .* got 'advprp'"),
        ({"eps": "4/0"}, "eps: expected a number such as 0.1 or 4/255, got '4/0'"),
        ({"eps": 4}, "eps must be from 0 to 1, got 4"),
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"lr": -1}, "lr must be over 0, got -1"),
        ({"lr": float("inf")}, "lr must be a finite number, got inf; give one over 0"),
        ({"weight_decay": float("nan")}, "weight_decay must be a finite number, got nan; give one 0 or more"),
        ({"ema": 1}, "ema must be at least 0 and under 1, or the average stays .* got 1"),
        ({"share": 1}, "share must be over 0 and under 1, got 1"),
        ({"layer_decay": 0}, "layer_decay must be over 0 and at most 1, got 0"),
        ({"decay_milestones": [60, 30]}, "decay_milestones must be epochs in rising order, got"),
        ({"aug_repeats": -1}, "aug_repeats must be 0 or more, got -1"),
        ({"severities": [3, 6]}, r"severities must be from 1 to 5 each, got \(3, 6\)"),
        ({"epochs": "x", "lr": "y"}, "epochs: .* got 'x'; lr: .* got 'y'"),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message) as told:
        make_recipe(settings)
    assert "\n" not in str(told.value)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match=f"^{path}: {message}"):
        make_recipe(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"bce_target_thresh": 0.2},
            r"bce_target_thresh acts on binary cross-entropy alone.* \(--loss bce\)",
        ),
        (
            {"prefetch_factor": 4, "workers": 0},
            r"prefetch_factor needs processes .* \(--workers\), got workers 0",
        ),
        (
            {"model_args": {"num_classes": 5}},
            "model_args must not have num_classes, which follows from the data",
        ),
        (
            {"model_args": {"drop_rate": 0.5}},
            r"model_args must not have drop_rate, which is a setting of its own \(--drop-rate\)",
        ),
    ],
)
def test_settings_that_can_do_nothing_together_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message) as told:
        make_recipe(settings)
    assert "\n" not in str(told.value)
    whole = tmp_path / "recipe.yaml"
    whole.write_text(yaml.safe_dump(settings | {"bce_target_thresh": 0.2}))  # the rest comes from elsewhere
    assert make_recipe(whole, loss="bce", workers=1, model_args={}).bce_target_thresh == 0.2


@pytest.mark.parametrize("word", ["none", "None", "NONE", None])
def test_words_for_nothing_are_taken_in_any_case(word, tmp_path):
    settings = dict.fromkeys(("scale", "data_dir", "target", "severities", "freeze", "ema"), word)
    wanted = (None, None, "none", (), (), None)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    for recipe in (make_recipe(settings), make_recipe(path)):
        assert tuple(getattr(recipe, name) for name in settings) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2", "is not YAML"), ("- 1", "list of `setting: value`, got"), (None, "cannot read")],
)
def test_a_file_that_is_no_recipe_is_told(text, message, tmp_path):
    path = tmp_path / "recipe.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message) as told:
        make_recipe(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_the_learning_rate_is_scaled_to_the_batch():
    assert make_recipe(lr=0.256, lr_base_size=2048, batch_size=512).scaled_lr == 0.064
    assert make_recipe(lr=0.256, lr_base_size=None, batch_size=512).scaled_lr == 0.256


@given(st.integers(0, 255))
def test_numbers_are_read_as_they_are_written(levels):
    assert parse_fraction(f"{levels}/255") == levels / 255
    assert float(parse_fraction(short_number(levels / 255))) == pytest.approx(levels / 255)


@pytest.mark.parametrize("size", range(9))
def test_a_card_is_the_recipe_of_the_released_model(size):
    recipe = make_recipe(f"card:tf_efficientnet_b{size}_ap", {"batch_size": 512}, data="imagenet")
    assert recipe.model == f"tf_efficientnet_b{size}_ap"
    assert recipe.scaled_lr == (0.064 if size < 8 else 0.032)
    assert (recipe.opt, recipe.momentum, recipe.opt_args) == ("rmsproptf", 0.9, {"alpha": 0.9, "eps": 0.001})
    assert (recipe.sched, recipe.decay_rate, recipe.decay_epochs) == ("step", 0.97, 2.4)
    assert (recipe.epochs, recipe.weight_decay, recipe.label_smoothing) == (350, 1e-5, 0.1)
    assert (recipe.bn_momentum, recipe.ema, recipe.drop_path_rate) == (0.01, 0.9999, 0.2)
    assert recipe.drop_rate == (0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5, 0.5)[size]
    assert recipe.auto_augment == "v0"
    config = data_config(recipe.model)
    assert recipe.image_size == config["input_size"][1]
    assert recipe.crop_pct == pytest.approx(config["crop_pct"], abs=1e-3)
    assert recipe.interpolation == config["interpolation"]
    assert (recipe.eps, recipe.steps, recipe.method) == (4 / 255, 5, "advprop")


def test_the_learning_rate_of_a_card_falls_as_its_model_did():
    recipe = make_recipe("card:tf_efficientnet_b0_ap", data="imagenet")
    optimiser = build_optimizer(recipe, torch.nn.Linear(2, 2))
    schedule = build_schedule(recipe, optimiser, steps_per_epoch=10)

    def lr(step):
        schedule.step_update(step)
        return optimiser.param_groups[0]["lr"]

    assert lr(25) == pytest.approx(0.128)  # half way through the warm-up
    assert lr(60) == pytest.approx(0.256 * 0.97**2)  # 6 epochs hold two whole periods of 2.4
    assert lr(3499) == pytest.approx(0.256 * 0.97**145)
    assert isinstance(optimiser, RMSpropTF)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_rises_and_changes_the_learning_rate_as_its_name_says(name):
    recipe = make_recipe(sched=name, lr=0.1, epochs=10, warmup_epochs=2, decay_epochs=3)
    optimiser = build_optimizer(recipe, torch.nn.Linear(2, 2))
    schedule = build_schedule(recipe, optimiser, steps_per_epoch=10)
    rates = []
    for step in range(100):
        if schedule is not None:
            schedule.step_update(step)
        rates.append(optimiser.param_groups[0]["lr"])
    assert 0.08 < max(rates) < 0.1001  # some fall from the first step on, beneath the warm-up
    assert (rates[0] < 0.01) == (name != "none")
    assert (rates[-1] < 0.07) == (name not in ("none", "constant", "multistep"))


def test_a_missing_card_is_told():
    with pytest.raises(
        ValueError,
        match="there is no card for the model 'tf_efficientnet_b9_ap'; did you mean tf_efficientnet_b8_ap",
    ):
        make_recipe("card:tf_efficientnet_b9_ap")
