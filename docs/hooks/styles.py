"""Style sheets without the rules that no page of the site can use: a quarter of the theme's."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import tinycss2
from tinycss2.ast import AtRule, Node, QualifiedRule

# Classes, and what no script changes to other values. Values without quotes have no spaces.
_NAMED = re.compile(r"""\b(class|data-md-color-\w+|dir)=(?:"([^"]*)"|([^\s">]+))""")
# The same in a selector.
_CLASS = re.compile(r"\.([A-Za-z_][\w-]*)")
_SETTING = re.compile(r"""\[(data-md-color-\w+|dir)=["']?([\w-]+)["']?\]""")
_WORD = re.compile(r"[\w-]+")


def named_in_page(page: str) -> set[str]:
    """The classes in the HTML of a page, and its settings: colors, and in which direction it is read."""
    found = [(name, quoted or plain) for name, quoted, plain in _NAMED.findall(page)]
    classes = {each for name, value in found if name == "class" for each in value.split()}
    return classes | {f'{name}="{value}"' for name, value in found if name != "class"}


def named_in_script(script: str) -> set[str]:
    """Every word of a script, since any may be a class, or the beginning of one that ends in `--`."""
    return set(_WORD.findall(script))


def keep_used(assets: Path, known: set[str]) -> None:
    """Rewrite every style sheet of a folder; `known` are the classes and settings of all pages."""
    for script in assets.rglob("*.js"):
        known = known | named_in_script(script.read_text(encoding="utf-8"))
    for sheet in assets.rglob("*.css"):
        sheet.write_text(only_used(sheet.read_text(encoding="utf-8"), known), encoding="utf-8")


def only_used(sheet: str, known: set[str]) -> str:
    """The style sheet without selectors of classes and settings that are not known.

    Examples:
        >>> from docs.hooks.styles import only_used
        >>> only_used(".a,.b .c{top: 0}@media print{.b{top: 0}}", {"a", "c"})
        '.a{top: 0}'
    """
    return "".join(_rules(tinycss2.parse_stylesheet(sheet, skip_comments=True), known))


def _rules(rules: Iterable[Node], known: set[str]) -> Iterator[str]:
    for rule in rules:
        if isinstance(rule, QualifiedRule):
            used = [tinycss2.serialize(each) for each in _selectors(rule.prelude) if _is_known(each, known)]
            if used:
                yield f"{','.join(used)}{{{tinycss2.serialize(rule.content)}}}"
        elif isinstance(rule, AtRule) and rule.lower_at_keyword in ("media", "supports"):
            inner = "".join(_rules(tinycss2.parse_rule_list(rule.content or []), known))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}"
        else:
            yield rule.serialize()


def _selectors(prelude: Iterable[Node]) -> Iterator[list[Node]]:
    """The selectors of a rule, which commas divide."""
    selector: list[Node] = []
    for token in prelude:
        if token.serialize() == ",":
            yield selector
            selector = []
        else:
            selector.append(token)
    yield selector


def _is_known(selector: Iterable[Node], known: set[str]) -> bool:
    """Whether some element may have its classes and settings; `:not()` and `:is()` are no matter."""
    text = "".join(token.serialize() for token in selector if token.type != "function")
    settings = {f'{name}="{value}"' for name, value in _SETTING.findall(text)}
    missing = {*_CLASS.findall(text), *settings} - known
    return all(re.sub("--.*", "--", each) in known for each in missing)
