# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What search engines and link previews read of a gallery: a page for each study, the list of all pages, robots.txt.

The pages for people are made by scripts in the browser. Here stands the same in plain HTML, in the same page, which the
scripts then replace. https://schema.org/Dataset, https://www.sitemaps.org/protocol.html, RFC 9309 (robots.txt).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# A sitemap holds no more.
SITEMAP_ADDRESSES = 50_000
# What is a file name and a part of an address as it stands. Others have no page of their own.
_PLAIN = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,199}")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+")
_TITLE = re.compile(r"<title>.*?</title>", re.DOTALL)
_MAIN = re.compile(r"(<main\b[^>]*>)")
_SENTENCE = 300


def is_plain(identifier: str) -> bool:
    """Return whether a study of this identifier has a page."""
    return _PLAIN.fullmatch(identifier) is not None


def address(identifier: str, url: str) -> str:
    """Return the address of a study for good; `url` is that of the site, without a slash at its end."""
    return f"{url}/study/{identifier}"


def page(template: str, site: Mapping[str, Any], study: Mapping[str, Any], url: str) -> str:
    """Return the page of a study: `template`, the page for all of them, with what is known of this one."""
    name, title = name_of(study), site.get("title") or "Image repository"
    words = " ".join((study.get("description") or "").split()) or f"{name}. {site.get('description', '')}"
    here, picture = address(study["id"], url), picture_of(study, url)
    head = [
        f"<title>{_text(f'{name} · {title}')}</title>",
        f'<meta name="description" content="{_text(words[:_SENTENCE])}">',
        f'<link rel="canonical" href="{_text(here)}">',
        *(
            f'<meta property="og:{key}" content="{_text(value)}">'
            for key, value in (("title", name), ("description", words[:_SENTENCE]), ("url", here), ("image", picture))
            if value
        ),
        f'<script type="application/ld+json">{data(site, study, words, url)}</script>',
    ]
    body = [f"<h1>{_text(name)}</h1>"]
    if picture:
        body.append(f'<img src="{_text(study["thumbnail"])}" alt="" width="256" height="256">')
    body.append(f"<p>{_text(words)}</p>")
    body += [
        f"<p>{label}: {_link(study[key])}</p>"
        for key, label in (("licence", "Licence"), ("source", "Source"))
        if study.get(key)
    ]
    made = _TITLE.sub(lambda _found: "\n  ".join(head), template, count=1)
    return _MAIN.sub(lambda found: f"{found[1]}\n    <article>{''.join(body)}</article>", made, count=1)


def name_of(study: Mapping[str, Any]) -> str:
    """Return what a study is called."""
    return " ".join((study.get("title") or "").split()) or "Untitled study"


def picture_of(study: Mapping[str, Any], url: str) -> str:
    """Return the address of the picture that stands for a study, or ""."""
    path = study.get("thumbnail") or ""
    return f"{url}{path}" if path.startswith("/") else ""


def data(site: Mapping[str, Any], study: Mapping[str, Any], words: str, url: str) -> str:
    """Return what a search for data reads: JSON-LD that cannot end the script it stands in."""
    content = {
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": name_of(study),
        "description": words,
        "identifier": study["id"],
        "url": address(study["id"], url),
        "license": _licence(study.get("licence") or ""),
        "isBasedOn": study.get("source") or "",
        "image": picture_of(study, url),
        "isAccessibleForFree": True,
        "includedInDataCatalog": {"@type": "DataCatalog", "name": site.get("title") or "Image repository", "url": url},
    }
    kept = {key: value for key, value in content.items() if value != ""}
    return json.dumps(kept, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _licence(licence: str) -> str:
    """Return the address of a licence where it is named by its SPDX identifier, else what is said."""
    return f"https://spdx.org/licenses/{licence}.html" if _SPDX.fullmatch(licence) else licence


def sitemaps(addresses: Iterable[str], url: str) -> dict[str, str]:
    """Return the files that list the addresses by their names: sitemap.xml, and others that it lists where it is full."""
    every = list(addresses)
    parts = [every[start : start + SITEMAP_ADDRESSES] for start in range(0, len(every), SITEMAP_ADDRESSES)] or [[]]
    if len(parts) == 1:
        return {"sitemap.xml": _xml("urlset", "url", parts[0])}
    files = {f"sitemap-{number}.xml": _xml("urlset", "url", part) for number, part in enumerate(parts, 1)}
    return {"sitemap.xml": _xml("sitemapindex", "sitemap", (f"{url}/{name}" for name in files)), **files}


def _xml(root: str, entry: str, addresses: Iterable[str]) -> str:
    lines = "".join(f"<{entry}><loc>{html.escape(address)}</loc></{entry}>\n" for address in addresses)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{lines}</{root}>\n'


def robots(url: str) -> str:
    """Return what crawlers are told: the pages may be found, the millions of images behind them need no crawler."""
    return f"""\
# The pages may be found; the millions of tiles and thumbnails behind them need no crawler.
# Whoever wants many images: {url}/catalogue.json lists all studies. Ask for no more than a few images a second that
# nobody has asked for before: more are answered 429, with the time to wait.
User-agent: *
Allow: /$
Allow: /study/
Allow: /*.html
Allow: /*.css$
Allow: /*.js$
Allow: /*.json$
Allow: /*.svg$
Disallow: /

Sitemap: {url}/sitemap.xml
"""


def files(template: str, catalogue: Mapping[str, Any], url: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the content of each file; `catalogue` is what the gallery's own pages read."""
    site = catalogue.get("site") or {}
    studies = {study["id"]: study for study in catalogue.get("studies") or [] if is_plain(str(study.get("id", "")))}
    for identifier, study in studies.items():
        yield f"study/{identifier}.html", page(template, site, study, url)
    yield from sitemaps([f"{url}/", *(address(identifier, url) for identifier in studies)], url).items()
    yield "robots.txt", robots(url)


def _text(value: str) -> str:
    return html.escape(str(value))


def _link(value: str) -> str:
    """Return a text, as a link where it is the address of a page."""
    if re.match(r"https?://\S+$", value):
        return f'<a href="{_text(value)}" rel="noopener noreferrer external">{_text(value)}</a>'
    return _text(value)
