"""The recipes that come with the package: each is one, says where it is from, and trains."""

import re

import pytest
import torch

from advprop.cli.train import Train
from advprop.data.batches import Data, TensorSet
from advprop.recipes.named import recipe_names, recipe_path
from advprop.recipes.recipe import make_recipe
from advprop.runtime import World
from advprop.training import loop as loops

SOURCES = ("github.com/meijieru/fast_advprop", "github.com/facebookresearch/")
# What makes a step of a large network one of a second; the rest of the recipe is as it is.
TINY = {
    "resnet50": {"model": "test_resnet"},
    "convnext_tiny": {"model": "test_convnext"},
    "deit_small_patch16_224": {"model": "test_vit"},
}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_builds_and_takes_a_step(name, monkeypatch):
    recipe = make_recipe(name, data="imagenet")
    small = {"batch_size": 20, "image_size": 32, "precision": "fp32", "workers": 0}
    recipe = make_recipe(vars(recipe), **small, **TINY[recipe.model])
    images = TensorSet(torch.rand(20, 3, 32, 32), torch.arange(20) % 4)
    data = Data(train=images, test=images, class_names=tuple("abcd"), shape=(3, 32, 32))
    made = loops.Loop(recipe, World(torch.device("cpu")), data)
    made.advance(*next(made.train_batches.epoch(0)))
    assert made.is_sound()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_where_it_is_from_and_that_it_was_not_reproduced(name):
    words = " ".join(line.lstrip("# ") for line in recipe_path(name).read_text().splitlines())
    assert any(source in words for source in SOURCES)
    assert "Not reproduced here." in words
    assert ("ours and unpublished" in words) == (make_recipe(name).norms == "all")
    assert ("(Mei et al., ICLR 2022)" in words) == name.startswith("resnet50")


def test_the_published_schedule_is_that_of_the_paper():
    standard, fast = make_recipe("resnet50"), make_recipe("resnet50-fast")
    assert (standard.epochs, standard.decay_milestones) == (105, (30, 60, 90, 100))
    assert fast.epochs == round(105 / 1.2)
    assert [make_recipe(f"resnet50-pgd{steps}").steps for steps in (1, 5)] == [1, 5]


def test_a_file_comes_first_and_a_wrong_name_has_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no recipe 'resnet-50'; did you mean resnet50"):
        make_recipe("resnet-50")
    with pytest.raises(ValueError, match=r"cannot read the recipe nowhere/resnet50"):
        make_recipe("nowhere/resnet50")
    (tmp_path / "resnet50").write_text("epochs: 7\n")
    assert make_recipe("resnet50").epochs == 7


def test_help_names_them():
    named = re.search(r"recipes of the package \(([^)]*)\)", " ".join(Train.__doc__.split()))
    assert sorted(named[1].split(", ")) == list(recipe_names())
