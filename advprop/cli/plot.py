"""The command that draws runs."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from advprop.cli.console import say


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
        from advprop.figures import plot_runs

        plot_runs(self.runs, self.out)
        say(f"wrote {self.out}")
        return 0
