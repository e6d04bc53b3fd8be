"""The commands that show model cards, verify them and print their programs."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from advprop.cli.console import say, width


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models with a card, or describe some of them.

    Args:
        names: Models to describe, by their old or their current name.
    """

    names: Positional[tuple[str, ...]] = ()

    def __call__(self) -> int:
        """Shows the list or the descriptions."""
        from advprop.cards import describe_card, list_cards, load_model_index

        index = load_model_index()
        cards = [index.model(name) for name in self.names]
        told = [describe_card(card, index, width=width()) for card in cards]
        say("\n\n".join(told) if told else list_cards(index))
        return 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Compare the cards of the models with timm and with what can be counted.

    Args:
        names: Models to verify, by their old or their current name; by default all.
        json: File to write the record to.
    """

    names: Positional[tuple[str, ...]] = ()
    json: Path | None = None

    def __call__(self) -> int:
        """Shows what agrees and what does not."""
        from advprop.cards import ModelIndexError, format_verification, load_model_index, verify

        try:
            found = verify(load_model_index(), self.names, progress=sys.stderr.isatty())
        except ModelIndexError as error:
            say(str(error))
            return 1
        say(format_verification(found, width()))
        if self.json:
            self.json.parent.mkdir(parents=True, exist_ok=True)
            self.json.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return 1 if found.failures else 0


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """Print a complete program for a model, as its page shows it.

    Args:
        name: Which program: predict, features, finetune, train, attack, export; with `_timm` at the end,
            the one that does without this package, where there is one.
        model: The model that it uses, by its old or its current name.
    """

    name: Positional[str]
    model: str = "tf_efficientnet_b0_ap"

    def __call__(self) -> int:
        """Prints it."""
        from advprop.cards import snippet

        say(snippet(self.name, self.model).rstrip())
        return 0
