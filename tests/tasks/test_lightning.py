"""The guide's LightningModule, as it stands there: its steps are those of a plain loop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from advprop import evaluate, remove_aux_norm
from advprop.data import digits

pytestmark = [
    pytest.mark.slow,
    # Lightning's own, with newer releases of torch
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]
EPOCHS, SEED = 2, 3


@pytest.fixture(scope="module")
def names(root: Path) -> dict[str, Any]:
    """What the guide's program defines, without what it runs."""
    guide = (root / "docs/guides/your_code.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(import lightning.*?)^```", guide, re.MULTILINE | re.DOTALL)
    found = {"__name__": "guide"}
    exec(compile(code, "your_code.md", "exec"), found)
    return found


def batches() -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Digits to train on, in the same order in each epoch, and to test on."""
    data = digits(train_images=200)
    train, test = (TensorDataset(part.images, part.labels) for part in (data.train, data.test))
    return DataLoader(train, batch_size=50), DataLoader(test, batch_size=500)


def module_of(names: dict[str, Any]) -> Any:
    torch.manual_seed(SEED)
    return names["AdvPropModule"]()


def plain_losses(module: Any) -> list[float]:
    """The losses of the epochs in a loop without Lightning."""
    losses: list[float] = []
    optimizer = module.configure_optimizers()
    for _ in range(EPOCHS):
        for images, labels in batches()[0]:
            torch.manual_seed(len(losses))
            loss = module.task(images, labels)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def test_every_step_is_that_of_a_plain_loop_and_checkpoints_go_round(
    names: dict[str, Any], tmp_path: Path
) -> None:
    lightning, losses = names["L"], []

    class Record(lightning.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            torch.manual_seed(trainer.global_step)

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            losses.append(float(outputs["loss"]))

    module = module_of(names)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", callbacks=[Record()], default_root_dir=tmp_path, **quiet
    )
    trainer.fit(module, *batches())
    plain = module_of(names)
    assert len(losses) == EPOCHS * 4
    assert losses == plain_losses(plain)
    assert losses[-1] < losses[0]

    trainer.save_checkpoint(tmp_path / "advprop.ckpt")
    again = names["AdvPropModule"].load_from_checkpoint(tmp_path / "advprop.ckpt", weights_only=True)
    evaluated, same = (remove_aux_norm(each.task.get_trainable_module()) for each in (again, plain))
    assert all(torch.equal(*pair) for pair in zip(evaluated.parameters(), same.parameters(), strict=True))
    accuracy = evaluate(evaluated, batches()[1]).top1
    assert float(trainer.callback_metrics["accuracy"]) == pytest.approx(accuracy)
