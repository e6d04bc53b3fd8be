"""The command that tells what is on images."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from advprop.cli.console import Switch, complain, say
from advprop.runtime import short_of_memory


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Tell what is on pictures: the likeliest classes of each, by a trained model.

    Args:
        images: Pictures, and folders of pictures.
        model: Directory of a run, folder of an exported model, or name of a model that timm has weights of.
        top: How many classes to name for each picture.
        json: Print JSON instead of a table.
        branch: Batch norms of the run's model to use: main, or adv.
        device: cpu, cuda, mps; auto takes the best there is.
        batch_size: Pictures that go through the model at once.
        workers: Processes that read pictures; 0: none beside this one.
    """

    images: Positional[tuple[Path, ...]]
    model: str
    top: int = 5
    json: Switch = False
    branch: str = "main"
    device: str = "auto"
    batch_size: int = 32
    workers: int = 0

    def __call__(self) -> int:
        """Shows the predictions; the status is 1 if a picture could not be read."""
        if not self.images:
            raise ValueError("name a picture, or a folder of pictures")
        from advprop.inference import find_images, load_model, predict, prediction_table
        from advprop.runtime import join

        images = find_images(self.images)
        model = load_model(self.model, self.branch)
        with (
            short_of_memory("in prediction", lambda: f"lower --batch-size (now {self.batch_size})"),
            join(self.device) as world,
        ):
            found = predict(
                model.to(world.device),
                images,
                self.top,
                batch_size=self.batch_size,
                workers=self.workers,
                bad_images="skip",
                progress=sys.stderr.isatty(),
            )
        if self.json:
            say(json.dumps([each.to_dict() for each in found], indent=2))
        elif table := prediction_table(found):
            say(table)
        bad = [each for each in found if each.problem]
        for each in bad:
            complain(f"cannot read {each.image}: {each.problem}")
        return 1 if bad else 0
