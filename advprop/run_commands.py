"""What the commands do that take a trained model; an instance is a command with its options.

Imports of torch stand inside: help should not wait for them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from advprop.console import say


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw training runs: losses, test accuracy, learning rate over the epochs.

    Args:
        runs: Directories of the runs.
        out: File to write; its ending tells the kind: .svg, .png or .pdf.
    """

    runs: Positional[tuple[Path, ...]]
    out: Path = Path("plot.svg")

    def __call__(self) -> int:
        """Writes the picture."""
        from advprop.plot import plot_runs

        plot_runs(self.runs, self.out)
        say(f"wrote {self.out}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure the accuracy of a trained model: clean, corrupted, attacked.

    Args:
        run: Directory of the run.
        severities: Severities of the 15 corruptions, from 1 to 5.
        eps: Radii of attacks, in pixels of [0, 1], such as 2/255; none: no attack.
        steps: Steps of the attacks.
        branch: Batch norms to use: main, or adv.
        device: cpu, cuda, mps; auto takes the best there is.
    """

    run: Positional[Path]
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    eps: tuple[float, ...] = ()
    steps: tuple[int, ...] = (10,)
    branch: str = "main"
    device: str = "auto"

    def __call__(self) -> int:
        """Shows the tables."""
        from advprop.evaluate import evaluate, evaluate_attacks, evaluate_corruptions
        from advprop.outcome import attack_table, corruption_table
        from advprop.trainer import trained

        with trained(self.run, self.device) as (model, batches):
            options: dict[str, Any] = {"branch": self.branch, "progress": sys.stderr.isatty()}
            say(f"clean: {evaluate(model, batches, **options)}")
            if self.severities:
                found = evaluate_corruptions(model, batches, severities=self.severities, **options)
                say(f"\n{corruption_table(found)}")
            if self.eps:
                say(f"\n{attack_table(evaluate_attacks(model, batches, self.eps, self.steps, **options))}")
        return 0
