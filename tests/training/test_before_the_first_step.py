"""What cannot be trained is told before a directory is made, with the options of the command line."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from advprop.cli.main import main
from advprop.data import Images
from advprop.models import create_model
from advprop.recipes.recipe import make_recipe
from advprop.tasks import AdversarialTask, AdvPropTask, FastAdvPropTask, StandardTask
from advprop.training.build import build_model, build_task
from advprop.training.loop import Loop
from advprop.training.parts import check_trainable
from advprop.training.preflight import check_data, check_size

SMALL = ["--train-images", "40", "--epochs", "1", "--warmup-epochs", "0", "--severities"]
SMALL += ["--device", "cpu", "--out", "run"]
AT_ONE_PIXEL = ["--model", "resnet18", "--channels", "3", "--image-size", "32", *SMALL]


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(words, capsys):
    """What is told in one line of a mistake, of which nothing is left."""
    before = sorted(Path().rglob("*"))
    assert main(["train", *words]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert sorted(Path().rglob("*")) == before
    return line


@pytest.mark.parametrize(
    ("words", "got", "ways"),
    [
        (["--batch-size", "1", "--method", "standard"], "1 --accumulate 1 on one rank, .* to the main", ""),
        (["--batch-size", "1"], "1 --accumulate 1 on one rank, .* to the main and adv", ""),
        (["--batch-size", "8", "--accumulate", "8"], "8 --accumulate 8 on", ", a smaller --accumulate"),
        (
            ["--batch-size", "5", "--method", "fast"],
            "5 --accumulate 1 --share 0.2 on .* to the adv",
            ", another --share",
        ),
    ],
)
def test_a_batch_norm_that_would_see_one_value_is_told(words, got, ways, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "advance", None)
        told = refused([*AT_ONE_PIXEL, *words], capsys)
    for part in (
        "batch norms must see more than one value",
        f"take a larger --batch-size{ways} or larger images",
    ):
        assert part in told
    assert re.search(f"got --batch-size {got}", told)


@pytest.mark.parametrize(
    ("method", "count", "size", "trains"),
    [
        ("standard", 1, 32, False),
        ("standard", 1, 64, True),  # two by two values
        ("standard", 2, 32, True),
        ("advprop", 1, 32, False),
        ("fine-grained", 1, 32, False),
        ("adversarial", 1, 32, True),  # the clean image and the adversarial one
        ("fast", 5, 32, False),
        ("fast", 10, 32, True),
        ("fast", 5, 64, True),
    ],
)
def test_what_is_told_is_what_would_happen(method, count, size, trains):
    """The trial says of each method and size what a step does."""
    fast = {"steps": 1, "target": "none"} if method == "fast" else {}
    recipe = make_recipe(method=method, batch_size=count, model="resnet18", eps=0.1, **{"steps": 1} | fast)
    images = Images(class_names=("a", "b", "c"), shape=(3, size, size))
    task = build_task(recipe, build_model(recipe, images), 3, torch.device("cpu"))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    batch = torch.rand(count, 3, size, size), torch.arange(count) % 3
    if trains:
        check_trainable(task, recipe, 1, images)
        assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
        task(*batch)["loss"].backward()
    else:
        with pytest.raises(ValueError, match="batch norms must see more than one value"):
            check_trainable(task, recipe, 1, images)
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            task(*batch)["loss"].backward()


@pytest.mark.parametrize("task", [StandardTask, AdversarialTask, AdvPropTask, FastAdvPropTask])
def test_a_task_knows_its_passes_in_training_mode(task):
    made = task(create_model("test_resnet", num_classes=3))
    seen = []

    def look(module, args):
        if module.training:
            seen.append(len(args[0]))

    made.trainable_module.register_forward_pre_hook(look)
    made(torch.rand(10, 3, 32, 32), torch.arange(10) % 3)
    assert seen == [sum(sizes.values()) for sizes in made.passes(10)]


def test_ranks_are_counted():
    recipe = make_recipe(method="standard", batch_size=8, accumulate=2, model="resnet18")
    images = Images(class_names=("a", "b"), shape=(3, 32, 32))
    task = build_task(recipe, build_model(recipe, images), 2, torch.device("cpu"))
    check_trainable(task, recipe, 2, images)
    with pytest.raises(
        ValueError, match=r"8 --accumulate 2 on 4 ranks, .*smaller --accumulate, fewer ranks or"
    ):
        check_trainable(task, recipe, 4, images)


class Odd(nn.Module):
    """A model whose output in training is what it is told to be."""

    def __init__(self, output):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.output = output

    def forward(self, images):
        logits = self.linear(images.mean((2, 3)))
        return self.output(logits) if self.training else logits


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (lambda x: x[:, :2], r"must be \(2, 3\), a logit for each class, and is \(2, 2\)"),
        (lambda x: (x, x), "and is tuple"),
    ],
)
def test_an_output_in_training_that_is_no_logits_of_the_classes_is_told(output, told):
    recipe = make_recipe(method="standard", batch_size=8, model="resnet18")
    images = Images(class_names=("a", "b", "c"), shape=(3, 8, 8))
    with pytest.raises(ValueError, match=told):
        check_trainable(StandardTask(Odd(output)), recipe, 1, images)


def folders(*names):
    for split in ("train", "validation"):
        for shade, name in enumerate(names):
            folder = Path("data", split, name)
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("L", (8, 8), 20 * shade).save(folder / f"{number}.png")
    return ["--data", "data", "--model", "advprop_convnet", "--image-size", "8", "--batch-size", "4", *SMALL]


@pytest.mark.parametrize("method", ["advprop", "standard"])
def test_a_single_class_is_told(method, capsys):
    told = refused([*folders("cat"), "--method", method], capsys)
    assert "must have two classes or more to tell apart, got 1 (cat) in --data data; add a folder" in told


def test_more_classes_than_are_asked_for_are_told(capsys):
    told = refused([*folders("cat", "dog", "rat"), "--classes", "2"], capsys)
    assert "the data have 3 classes, and the model is to have --classes 2" in told


def test_weights_with_a_head_of_fewer_classes_get_a_new_one():
    words = folders("cat", "dog", "rat")
    torch.save(create_model("advprop_convnet", num_classes=2, in_chans=3).state_dict(), "two.pth")
    assert main(["train", *words, "--weights", "two.pth"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "fast", "--steps", "2"], "(--steps 1 --target none), got --steps 2 --target none"),
        (["--batch-size", "50"], "--batch-size must be at most the number of training images, got 50 for 40"),
        (["--batch-size", "20", "--accumulate", "3"], "(ranks: 1, --accumulate 3); --batch-size 21 could"),
        (["--model", "test_convnext"], "--method advprop --norms batch cannot train test_convnext"),
        (["--method", "fast", "--batch-size", "2"], "(--batch-size 2 --accumulate 1 --share 0.2)"),
        (["--method", "fast", "--mixup", "0.5", "--batch-size", "6"], "--share 0.2 leaves 5 of them"),
        (
            ["--severities", "3", "--image-size", "7"],
            "--severities 3 asks for: images must be at least 8 x 8",
        ),
        (["--freeze", "stages", "head"], "got --freeze stages head"),
        (["--sync-batch-norm"], "--sync-batch-norm needs GPUs"),
    ],
)
def test_messages_have_the_options(words, told, capsys):
    assert told in refused([*SMALL, *words], capsys)


# Each raises another error than the usual ones for a size that it cannot take.
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # torch's own
@pytest.mark.parametrize("name", ["maxvit_nano_rw_256", "resmlp_12_224", "xcit_nano_12_p16_224", "nest_tiny"])
def test_images_that_are_too_small_are_told_whatever_a_model_raises(name):
    recipe = make_recipe(model=name, data="photos")
    images = Images(class_names=("a", "b"), shape=(3, 8, 8))
    with pytest.raises(ValueError, match=rf"{name}.*\(--model\), or .*another size \(--image-size\)"):
        check_size(build_model(recipe, images), name, images.shape)


def test_images_of_any_size_are_taken_without_corruptions():
    recipe, tiny = make_recipe(severities=(1, 3)), Images(class_names=("a", "b"), shape=(3, 4, 4))
    check_data(replace(recipe, severities=()), tiny)
    with pytest.raises(ValueError, match=r"as --severities 1 3 asks for: .* 8 x 8 pixels, got \(4, 4\)"):
        check_data(recipe, tiny)
