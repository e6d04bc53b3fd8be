"""Style sheets without the rules that no page of the site can use: a third of the theme's."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import tinycss2
from tinycss2.ast import AtRule, Node, QualifiedRule

Tokens: TypeAlias = list[Node]
_CLASSES = re.compile(r'\bclass="([^"]*)"')
_SETTINGS = re.compile(r'\b((?:data-md-color-\w+|dir)="[^"]*")')  # that no script changes to other values
_WORD = re.compile(r"[\w-]+")


def named_in_page(page: str) -> set[str]:
    """The classes in the HTML of a page, and its settings: colors, and in which direction it is read."""
    classes = (name for found in _CLASSES.findall(page) for name in found.split())
    return {*classes, *_SETTINGS.findall(page)}


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
            inner = "".join(_rules(tinycss2.parse_rule_list(rule.content), known))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}"
        else:
            yield rule.serialize()


def _selectors(prelude: Tokens) -> Iterator[Tokens]:
    """The selectors of a rule, which commas divide."""
    selector: Tokens = []
    for token in prelude:
        if token == ",":
            yield selector
            selector = []
        else:
            selector.append(token)
    yield selector


def _is_known(selector: Tokens, known: set[str]) -> bool:
    """Whether some element may have its classes and settings; what stands in `:not()` and `:is()` is no matter."""
    classes = {after.value for dot, after in zip(selector, selector[1:], strict=False) if dot == "."}
    settings = {
        f'{"".join(name.serialize() for name in each.content[:-2])}="{each.content[-1].value}"'
        for each in selector
        if each.type == "[] block" and len(each.content) == 3 and each.content[1] == "="
    }
    missing = (classes | {each for each in settings if _SETTINGS.fullmatch(each)}) - known
    return all(re.sub("--.*", "--", each) in known for each in missing)
