"""The picture of AdvProp: one image, its adversarial copy, shared weights, two batch norms."""

import json
import math
from pathlib import Path
from typing import Any

from docs.hooks.svg import drawing, element, figure, path, rect, text

DIGIT = Path(__file__).resolve().parents[1] / "assets" / "digit.json"

_TOP, _BOTTOM, _SIDE = 34.0, 214.0, 96.0


def advprop_picture() -> str:
    """How AdvProp trains, drawn with a digit that a trained network misreads."""
    found: dict[str, Any] = json.loads(DIGIT.read_text(encoding="utf-8"))
    content = (
        _digit(found["clean"], 20, _TOP, "clean"),
        _digit(found["adversarial"], 20, _BOTTOM, "adv"),
        text(68, 24, "clean image", class_="clean-text"),
        text(68, 330, "adversarial image", class_="adv-text"),
        _arrow(68, _TOP + _SIDE + 6, 68, _BOTTOM - 8, "line"),
        text(78, 178, "attack", anchor="start"),
        _layer(),
        _route(_TOP + _SIDE / 2, "clean"),
        _route(_BOTTOM + _SIDE / 2, "adv"),
        _loss(),
    )
    picture = drawing(
        560,
        344,
        *content,
        name="advprop",
        title="AdvProp in one picture",
        description=(
            "A clean image and its adversarial copy pass through the same convolutions, each through a "
            "batch norm of its own, and the two losses are added. Only the clean path is kept for use."
        ),
    )
    caption = (
        "Every weight is shared but the batch norms: clean images have theirs, adversarial images have an "
        f"auxiliary set that is thrown away after training. The digit is real: a small network reads the "
        f"clean one as {found['reads']['clean']} and the other, "
        f"{found['eps']} away at most in any pixel, as {found['reads']['adversarial']}."
    )
    return figure(picture, caption)


def _digit(pixels: list[list[float]], x: float, y: float, kind: str) -> str:
    step = _SIDE / len(pixels)
    dots = [
        element(
            "rect",
            x=x + column * step,
            y=y + row * step,
            width=step,
            height=step,
            fill_opacity=f"{ink:.2f}".lstrip("0"),
        )
        for row, line in enumerate(pixels)
        for column, ink in enumerate(line)
        if ink >= 0.01
    ]
    return element("g", *dots, class_=f"ink-{kind}") + rect(x, y, _SIDE, _SIDE, f"frame-{kind}", rx=6)


def _layer() -> str:
    """One layer of the network: a convolution for all, a batch norm for each."""
    return "".join(
        (
            rect(140, 8, 286, 328, "panel", rx=10),
            text(283, 30, "every layer of the network", class_="quiet"),
            rect(158, 44, 92, 262, "box", rx=6),
            text(204, 170, "shared"),
            text(204, 190, "weights"),
            _norm(_TOP + 14, "clean", "main norm", 0.0, 15.0),
            _norm(_BOTTOM - 4, "adv", "auxiliary norm", 8.0, 19.0),
        )
    )


def _norm(y: float, kind: str, name: str, shift: float, spread: float) -> str:
    left, width, height = 286.0, 122.0, 88.0
    middle, floor = left + width / 2 + shift, y + height - 30
    curve = [
        (middle + z * spread, floor - 46 * (15 / spread) * math.exp(-z * z / 2))
        for z in (step / 5 for step in range(-12, 13))
    ]
    return "".join(
        (
            rect(left, y, width, height, f"box-{kind}", rx=6),
            path(curve, f"curve-{kind}"),
            text(left + width / 2, y + height - 10, name, class_=f"{kind}-text"),
        )
    )


def _route(y: float, kind: str) -> str:
    wires = ((118, 154), (252, 282), (410, 448))
    return "".join(_arrow(start, y, end, y, f"wire-{kind}") for start, end in wires)


def _loss() -> str:
    top, bottom = _TOP + _SIDE / 2, _BOTTOM + _SIDE / 2
    middle = (top + bottom) / 2
    return "".join(
        (
            text(496, top - 2, "loss of", class_="clean-text"),
            text(496, top + 16, "the clean", class_="clean-text"),
            text(496, bottom - 2, "loss of the", class_="adv-text"),
            text(496, bottom + 16, "adversarial", class_="adv-text"),
            path([(496, top + 26), (496, middle - 18)], "wire-clean"),
            path([(496, bottom - 20), (496, middle + 18)], "wire-adv"),
            element("circle", cx=496, cy=middle, r=18, class_="box"),
            path([(488, middle), (504, middle)], "line"),
            path([(496, middle - 8), (496, middle + 8)], "line"),
        )
    )


def _arrow(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    angle = math.atan2(y2 - y1, x2 - x1)
    turns = (angle - math.pi / 6, angle + math.pi / 6)
    head = [(x2 - 8 * math.cos(turn), y2 - 8 * math.sin(turn)) for turn in turns]
    return path([(x1, y1), (x2, y2)], class_) + path([head[0], (x2, y2), head[1]], class_)
