"""Where the project is published: `[tool.advprop]` in `pyproject.toml`, and all that is written from it.

This file is also the hook by which hatchling writes the package's metadata, so it imports nothing of the
project.
"""

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).resolve().parent.parent
PAPER = "https://arxiv.org/abs/1911.09665"
_PICTURE = re.compile(r"^<img src=\"(?!\w+:)(?P<path>[^\"]+)\"(?P<rest>[^>]*)>\n\n?", re.MULTILINE)
_LINK = re.compile(r"\[(?P<words>[^\]]+)\]\((?!\w+:|#)(?P<path>[^)]+)\)")


class SettingError(ValueError):
    """`[tool.advprop]` says something that cannot be; the message is one line."""


@dataclass(frozen=True)
class Published:
    """Where the project is published; addresses are empty where nobody has filled them in.

    Attributes:
        version: The version of the package.
        repository: Address of the repository, on GitHub or GitLab.
        site: Address of the documentation.
        on_index: Whether the package index has this package.
    """

    version: str
    repository: str = ""
    site: str = ""
    on_index: bool = False

    @property
    def revision(self) -> str:
        """What is linked to: the version's tag, and the branch before there is a release."""
        return f"v{self.version}" if self.on_index else "main"

    def page(self, kind: str, path: str = "") -> str:
        """Return the address of a page of the repository: `blob`, `raw`, `edit` or `issues`."""
        if not self.repository:
            return ""
        base = self.repository if self.on_github else f"{self.repository}/-"
        if kind == "issues":
            return f"{base}/issues"
        return f"{base}/{kind}/{'main' if kind == 'edit' else self.revision}/{path}"

    @property
    def on_github(self) -> bool:
        """Whether the repository is on GitHub, from where Colab opens notebooks."""
        return urlsplit(self.repository).hostname == "github.com"

    def colab(self, path: str) -> str:
        """Return the address under which Colab opens a notebook; empty where it cannot."""
        if not self.on_github:
            return ""
        name = urlsplit(self.repository).path.strip("/")
        return f"https://colab.research.google.com/github/{name}/blob/{self.revision}/{path}"

    def requirement(self, extras: str = "", *, pinned: bool = True) -> str:
        """Return what pip installs the package by, such as `advprop[plot]==0.1.0`; empty if it is nowhere.

        Args:
            extras: In brackets.
            pinned: Whether the index is asked for this version, and no later one.
        """
        if self.on_index:
            return f"advprop{extras}{f'=={self.version}' if pinned else ''}"
        return f"advprop{extras} @ git+{self.repository}@{self.revision}" if self.repository else ""

    def install(self) -> str:
        """Return the line that installs the package from where it is."""
        package = self.requirement(pinned=False)
        comment = "" if package else "  # in the folder of a checkout; no index has the package yet"
        quoted = f'"{package}"' if " " in package else package or "."
        return f"pip install {quoted}{comment}"

    def urls(self) -> dict[str, str]:
        """Return the addresses in the package's metadata, by their labels."""
        found = {
            "Source": self.repository,
            "Documentation": self.site,
            "Issues": self.page("issues"),
            "Changelog": self.page("blob", "CHANGELOG.md"),
            "Paper": PAPER,
        }
        return {label: address for label, address in found.items() if address}

    def readme(self, text: str) -> str:
        """Return the README for an index, which does not have the files that it links to.

        Their addresses are those in the repository. Without one, links become words, and pictures go.
        """
        if not self.repository:
            return _LINK.sub(r"\g<words>", _PICTURE.sub("", text))
        picture = rf'<img src="{self.page("raw")}\g<path>"\g<rest>>\n\n'
        return _LINK.sub(rf"[\g<words>]({self.page('blob')}\g<path>)", _PICTURE.sub(picture, text))


def published(root: Path = ROOT) -> Published:
    """Read the setting of a checkout; `REPO_URL` and `SITE_URL` count before it, as a workflow sets them.

    Raises:
        SettingError: If an address is none, or the setting has a field that is not known.
    """
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    settings = found["tool"].get("advprop", {})
    if unknown := settings.keys() - {"repository", "site", "on_index"}:
        raise SettingError(f"pyproject.toml: [tool.advprop] has no {', '.join(sorted(unknown))}")
    for name, variable in (("repository", "REPO_URL"), ("site", "SITE_URL")):
        given = os.environ.get(variable)
        address = given or settings.get(name, "")
        if address and urlsplit(address).scheme not in ("https", "http" if given else "https"):
            place = variable if given else f"pyproject.toml: [tool.advprop] {name}"
            raise SettingError(f"{place} must begin with https://; got {address!r}")
        settings[name] = address.rstrip("/")
    return Published(found["project"]["version"], **settings)


class MetadataHook(MetadataHookInterface):
    """Writes what `pyproject.toml` calls dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add addresses and the README to the metadata of a package that is built."""
        place = published(Path(self.root))
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["urls"] = place.urls()
        metadata["readme"] = {"content-type": "text/markdown", "text": place.readme(text)}
