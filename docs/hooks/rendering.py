"""Jinja for pages and snippets: strict, with errors that name the file and the line."""

import re
import traceback
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension

from scripts.surroundings import ROOT

TEMPLATES = (ROOT / "snippets", ROOT / "docs" / "templates")
# What Jinja passes over, which has to be found first; an include that is indented and alone on its line.
_INCLUDE = re.compile(
    r"\{#.*?#\}|\{%[-+]?\s*raw\b.*?\{%[-+]?\s*endraw\b"
    r"|^(?P<space>[ \t]+)(?P<include>\{%[-+]?\s*include\b(?:(?!%\}).)*%\})(?=[ \t]*$)",
    re.DOTALL | re.MULTILINE,
)


class PageError(Exception):
    """A page that cannot be rendered; the message is one line with the file and the line."""


class Indented(Extension):
    """An indented `{% include %}` is indented in all its lines, so that it stays in its list or admonition.

    This holds where it is alone on its line; values have the filter `indent`.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Put that filter around what is included on an indented line; no line moves."""
        return _INCLUDE.sub(_filtered, source)


def _filtered(found: re.Match[str]) -> str:
    if not found["include"]:
        return found[0]
    return f"{{% filter indent({found['space']!r}, true) %}}{found['include']}{{% endfilter %}}"


def environment(**globals: Any) -> jinja2.Environment:
    """Jinja over `snippets/` and `docs/templates/`, in which an undefined variable is an error."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        extensions=[Indented],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    env.globals.update(globals)
    env.filters["amount"] = amount
    return env


def amount(number: float, largest: float = 0.0) -> str:
    """A number in thousands, millions or thousand millions, to be read at a glance.

    Args:
        number: What is counted.
        largest: The largest number of a column, whose unit all its numbers have; by default this one's own.

    Examples:
        >>> from docs.hooks.rendering import amount
        >>> amount(5_288_548), amount(385_814_752, largest=62_597_461_568), amount(30_138)
        ('5.3 M', '0.39 G', '30 k')
    """
    for size, unit, places in ((1e9, "G", 2), (1e6, "M", 1), (1e3, "k", 0)):
        if max(number, largest) >= size:
            return f"{number / size:.{places}f} {unit}"
    return f"{number:g}"


def render(env: jinja2.Environment, text: str, *, where: str, first_line: int = 1, **names: Any) -> str:
    """The Markdown of a page; `text` starts on `first_line` of the file `where`, which errors name.

    Raises:
        PageError: If a name is undefined, a template is missing, or the syntax is wrong.
    """
    padded = "\n" * (first_line - 1) + text  # lines are counted as in the file
    try:
        code = env.compile(padded, name=where, filename=where)
        template = env.template_class.from_code(env, code, env.make_globals(None))
        return template.render(**names)[first_line - 1 :]
    except jinja2.TemplateSyntaxError as error:
        raise PageError(f"{_place(error.filename or where)}:{error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise PageError(f"{_chain(error, where)}: {error.message or type(error).__name__}") from error


def _chain(error: jinja2.TemplateError, where: str) -> str:
    """Where it happened, innermost first: `snippets/predict.py:3, included from docs/index.md:12`."""
    suffixes = (where, *(str(folder) for folder in TEMPLATES))
    frames = [
        f"{_place(frame.filename)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(suffixes) and not frame.filename.endswith("rendering.py")
    ]
    unique = list(dict.fromkeys(reversed(frames)))
    return ", included from ".join(unique) or where


def _place(filename: str) -> str:
    path = Path(filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else filename
