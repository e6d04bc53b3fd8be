"""What the head of a page tells search engines, social networks and readers of feeds."""

import json
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath
from typing import Any

from docs.hooks.facts import Facts, Model
from docs.hooks.social_card import SIZE
from scripts.published import Published

_KINDS = {"models": "Model", "notebooks": "Tutorial", "guides": "Guide", "reference": "Reference"}
_LICENSES = {"apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}
Data = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What is known of a page: its source, such as `guides/export.md`, its title, a sentence about it.

    The addresses of the page and of the site, `home`, are empty if nobody knows where it is published.
    """

    path: str
    title: str
    about: str
    address: str
    home: str
    site: str

    @property
    def kind(self) -> str:
        """What a reader calls such a page; empty for those that stand alone."""
        path = PurePosixPath(self.path)
        return _KINDS.get(str(path.parent), "") if path.stem != "index" else ""

    def tags(self, data: Data, *, has_feed: bool) -> str:
        """The tags, with its structured data among them."""
        # the theme takes a lone "alternate" for another language, and asks for its sitemap
        found = ['<link rel="alternate nofollow" type="text/markdown" href="index.md">']
        if self.home:
            found += [
                f'<link rel="search" type="application/opensearchdescription+xml" title="{self.site}"'
                f' href="{self.home}opensearch.xml">',
                *(f'<meta property="og:{name}" content="{escape(it)}">' for name, it in self._card().items()),
                '<meta name="twitter:card" content="summary_large_image">',
            ]
        if self.home and has_feed:
            feed = f"{self.home}feed.xml"
            found.append(f'<link rel="alternate nofollow" type="application/atom+xml" href="{feed}">')
        script = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
        return "".join((*found, f'<script type="application/ld+json">{script}</script>'))

    def _card(self) -> dict[str, str]:
        return {
            "type": "website" if self.path == "index.md" else "article",
            "site_name": self.site,
            "title": self.title,
            "description": self.about,
            "url": self.address,
            "image": f"{self.address}card.png",
            "image:width": str(SIZE[0]),
            "image:height": str(SIZE[1]),
            "image:alt": self.title,
        }


def structured_data(told: Told, facts: Facts, place: Published) -> Data:
    """What a page is, in the words of schema.org."""
    data: Data = {
        "@context": "https://schema.org",
        "name": told.title,
        "description": told.about,
        "url": told.address,
    }
    model = next((each for each in facts.models if each.path == told.path), None)
    if model:
        data |= _of_model(model)
    elif told.path == "index.md":
        data |= _of_home(told, place)
    elif told.path in ("results.md", "cost.md"):
        data |= {
            "@type": "Dataset",
            "license": _LICENSES["apache-2.0"],
            "variableMeasured": ["accuracy", "speed"],
        }
    elif any(model.measured for model in facts.models if model.home == told.path):
        data |= _of_results(facts)
    else:
        kinds: Data = {"Tutorial": ["TechArticle", "LearningResource"]}
        data["headline"] = data.pop("name")
        data |= {"@type": kinds.get(told.kind, "TechArticle"), "inLanguage": "en"}
        data |= {"isPartOf": {"@type": "WebSite", "name": told.site, "url": told.home}} if told.home else {}
    return {key: value for key, value in data.items() if value}


def _of_model(model: Model) -> Data:
    return {
        "@type": "SoftwareSourceCode",
        "alternateName": model.timm_name,
        "keywords": list(model.card.training_techniques or ()),
        "programmingLanguage": "Python",
        "runtimePlatform": "PyTorch",
        "codeRepository": model.card.code if model.card.code.startswith("http") else "",
        "sameAs": model.hub,
        "license": _LICENSES.get(model.config.license, model.config.license),
        "citation": {"@type": "ScholarlyArticle", "url": model.collection.paper.address},
    }


def _of_home(told: Told, place: Published) -> Data:
    library = {
        "@type": "SoftwareSourceCode",
        "name": "advprop",
        "version": place.version,
        "codeRepository": place.repository,
        "programmingLanguage": "Python",
        "runtimePlatform": "PyTorch",
        "license": _LICENSES["apache-2.0"],
    }
    target = {"@type": "EntryPoint", "urlTemplate": f"{told.home}?q={{words}}"}
    search = {"@type": "SearchAction", "target": target, "query-input": "required name=words"}
    return {
        "@type": "WebSite",
        "name": told.site,
        "about": {key: value for key, value in library.items() if value},
        "potentialAction": search if told.home else {},
    }


def _of_results(facts: Facts) -> Data:
    results = facts.results
    return {
        "@type": "Dataset",
        "isBasedOn": results.source,
        "creditText": f"Measured by {results.measured_by}",
        "license": _LICENSES.get(results.licence.lower(), results.licence),
        "variableMeasured": [f"top-1 accuracy on {each.name}" for each in results.test_sets.values()],
    }
