"""Write README.svg, the site's picture of AdvProp by itself: `python -m scripts.readme_picture`.

On the site the picture takes its colours from the theme. In the README it stands alone, so the theme's rules
for drawings come with it, for readers of light and of dark pages, on a ground that fits either.
"""

import re

from docs.hooks.pictures import advprop_picture
from docs.hooks.svg import element
from scripts.notebook_cache import ROOT

PICTURE = ROOT / "README.svg"
STYLE = ROOT / "docs" / "assets" / "site.css"
MARGIN = 20


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(draw(), encoding="utf-8")


def draw() -> str:
    """Return the picture as an SVG that needs nothing else."""
    found = re.search(r'(<svg[^>]*viewBox=")0 0 (\d+) (\d+)("[^>]*>)(.*</svg>)', advprop_picture(), re.DOTALL)
    if found is None:
        raise ValueError("advprop_picture() must have an <svg> with a viewBox from 0 0 to whole numbers")
    head, width, height, tail, content = found.groups()
    box = {"x": -MARGIN, "y": -MARGIN, "width": int(width) + 2 * MARGIN, "height": int(height) + 2 * MARGIN}
    ground = element("rect", **box, rx=10, class_="ground")
    view = " ".join(map(str, box.values()))
    return f"{head}{view}{tail}<style>{style()}</style>{ground}{content}\n"


def style() -> str:
    """Return the rules of the site's drawings, with the colours of both themes."""
    css = re.sub(r"/\*.*?\*/", "", STYLE.read_text(encoding="utf-8"), flags=re.DOTALL)
    rules = re.findall(r"^svg\.drawing [^{}]*\{[^{}]*\}", css, flags=re.MULTILINE)
    own = [
        "svg { color: var(--md-default-fg-color); --md-text-font-family: sans-serif; }",
        ".ground { fill: var(--md-default-bg-color); }",
        f":root {{ --md-default-bg-color: #fff; {colours(css, ':root')} {colours(css, 'default')} }}",
        f"@media (prefers-color-scheme: dark) {{ :root {{ {colours(css, 'slate')} }} }}",
    ]
    return re.sub(r"\s+", " ", " ".join(own + rules))


def colours(css: str, scheme: str) -> str:
    """Return the colours that a drawing uses, as one scheme of the site sets them."""
    selector = scheme if scheme.startswith(":") else f'[data-md-color-scheme="{scheme}"]'
    block = re.search(rf"^{re.escape(selector)} \{{([^}}]*)\}}", css, flags=re.MULTILINE)
    if block is None:
        raise ValueError(f"{STYLE.name} has no block {selector}")
    wanted = r"--(?:ap-[\w-]+|md-default-[bf]g-color): [^;]*;"
    return " ".join(re.findall(wanted, block[1]))


if __name__ == "__main__":
    main()
