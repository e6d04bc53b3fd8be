"""The Content-Security-Policy: a page loads what lies beside it, and runs no script but those of the site."""

import base64
import hashlib
import re
from collections.abc import Iterable

_SCRIPT = re.compile(r"<script(?![^>]*\b(?:src|type)=)[^>]*>(.*?)</script>", re.DOTALL)
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
_STYLED = re.compile(
    r"<(?P<tag>[\w-]+)(?P<before>[^<>]*?)\sstyle=(?P<quote>[\"'])(?P<style>.*?)(?P=quote)(?P<after>[^<>]*)>"
)
_RULES = (
    ("default-src", "'none'"),
    ("style-src", "'self'"),
    ("img-src", "'self' data:"),  # the theme's icons are in its style sheet
    ("font-src", "'self'"),
    ("connect-src", "'self'"),
    ("worker-src", "'self'"),
    ("base-uri", "'none'"),
    ("form-action", "'self'"),
)
# For servers, in the form that Netlify, Cloudflare Pages and `make serve` read.
_HEADERS = """\
/*
  Content-Security-Policy: {policy}; frame-ancestors 'none'
  Referrer-Policy: strict-origin-when-cross-origin
  X-Content-Type-Options: nosniff
  Permissions-Policy: camera=(), geolocation=(), microphone=()
"""


def inline_scripts(page: str) -> set[str]:
    """The scripts in the HTML of a page: those of the theme that read what the reader has chosen before."""
    return set(_SCRIPT.findall(page))


def policy(scripts: Iterable[str]) -> str:
    """The policy of pages with these scripts in their HTML, each allowed by its hash."""
    hashes = sorted(base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts)
    allowed = " ".join(["'self'", *(f"'sha256-{each}'" for each in hashes)])
    return "; ".join(f"{name} {value}" for name, value in (*_RULES, ("script-src", allowed)))


def headers(scripts: Iterable[str]) -> str:
    """The file `_headers`: what a server sends with every page."""
    return _HEADERS.format(policy=policy(scripts))


def with_policy(page: str) -> str:
    """The page with its policy in the head, for hosts that send none."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(inline_scripts(page))}">'
    return re.sub(r"<head[^>]*>\s*<meta charset=[^>]*>", lambda found: found[0] + meta, page, count=1)


def styles_apart(page: str) -> tuple[str, str]:
    """The page without styles in its HTML, and these as a style sheet; empty if there are none.

    Examples:
        >>> from docs.hooks.policy import styles_apart
        >>> styles_apart('<p class="a" style="width: 2px">')
        ('<p class="a apart-1">', '.apart-1.apart-1.apart-1{width: 2px}')
    """
    names: dict[str, str] = {}

    def classed(found: re.Match[str]) -> str:
        name = names.setdefault(found["style"].strip(), f"apart-{len(names) + 1}")
        rest = found["before"] + found["after"]
        merged, count = re.subn(r'(\sclass="[^"]*)"', rf'\1 {name}"', rest, count=1)
        return f"<{found['tag']}{merged}>" if count else f'<{found["tag"]} class="{name}"{rest}>'

    sheets = _STYLE.findall(page)
    page = _STYLED.sub(classed, _STYLE.sub("", page))
    # three times the same class outweighs what the theme's style sheet says, as the attribute did
    rules = [f".{name}.{name}.{name}{{{style}}}" for style, name in names.items()]
    return page, "\n".join([*sheets, *rules])
