# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The public pages as the proxy serves them: all are there, and its headers let them work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

testinfra_hosts = ["ansible://cache"]

PAGES = Path(__file__).parents[3] / "roles/gallery/files/gallery"
FILES = sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*") if path.is_file())
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "application/javascript",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
# Asks for several paths over one connection, as a browser would, and prints [status, headers, SHA-256, text].
CLIENT = r"""
import hashlib, http.client, json, ssl, sys
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection("127.0.0.1", 443, timeout=30, context=context)
answers = []
for path, headers in json.loads(sys.argv[1]):
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    answers.append([answer.status, {name.lower(): value for name, value in answer.getheaders()},
                    hashlib.sha256(body).hexdigest(), body[:100000].decode("utf-8", "replace")])
print(json.dumps(answers))
"""


def ask(host, *requests: tuple[str, dict[str, str]]) -> list[list]:
    """The answers of the public port to (path, headers)."""
    return json.loads(host.check_output("python3 -c %s %s", CLIENT, json.dumps(requests)))


def policy(headers: dict[str, str]) -> dict[str, list[str]]:
    """The content security policy by directive; what is not named falls back to default-src."""
    directives = [directive.split() for directive in headers["content-security-policy"].split(";") if directive.strip()]
    named = {name: values for name, *values in directives}
    return {
        name: named.get(name, named["default-src"]) for name in ("script-src", "style-src", "img-src", "connect-src")
    }


def test_every_file_is_served_as_it_is(host) -> None:
    answers = ask(host, *((f"/{name}", {}) for name in FILES))
    expected = {name: host.file(f"/var/www/gallery/{name}").sha256sum for name in FILES}
    for name, (status, headers, digest, _text) in zip(FILES, answers, strict=False):
        assert status == 200 and digest == expected[name], name
        if Path(name).suffix in TYPES:
            assert headers["content-type"].split(";")[0] == TYPES[Path(name).suffix], name


def test_the_front_page_answers_at_the_root(host) -> None:
    [[root_status, root_headers, root, _], [_, _, index, _]] = ask(host, ("/", {}), ("/index.html", {}))
    assert root_status == 200 and root == index and root_headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("page", ["/", "/study.html", "/viewer.html"])
def test_headers_let_the_pages_work_and_nothing_else(host, page: str) -> None:
    [[_status, headers, _digest, _text]] = ask(host, (page, {}))
    allowed = policy(headers)
    assert all("'self'" in values for values in allowed.values())
    # OpenSeadragon draws from both.
    assert {"data:", "blob:"} <= set(allowed["img-src"])
    assert not any("unsafe" in value or value in ("*", "https:") for values in allowed.values() for value in values)


def test_catalogue_is_valid_and_asked_anew(host) -> None:
    [[status, headers, _digest, text]] = ask(host, ("/catalogue.json", {}))
    assert status == 200 and headers["content-type"].startswith("application/json")
    catalogue = (
        json.loads(text)
        if len(text) < 100000
        else json.loads(host.file("/var/www/gallery/catalogue.json").content_string)
    )
    assert catalogue["site"]["title"] and set(catalogue["site"]) == {"title", "description", "contact"}
    for study in catalogue["studies"]:
        assert len(study["id"]) == 44 and study["title"] and study["instances"] > 0
    assert "no-cache" in headers.get("cache-control", "") or "max-age=0" in headers.get("cache-control", "")
    [[again, _headers, _digest, _text]] = ask(
        host, ("/catalogue.json", {"If-Modified-Since": headers["last-modified"]})
    )
    assert again == 304


def test_a_wrong_address_gets_a_page_and_a_missing_image_does_not(host) -> None:
    missing = "-".join(["00000000"] * 5)
    [[status, headers, _digest, page], [image_status, _headers, _digest, answer]] = ask(
        host, ("/nothing/here", {}), (f"/instances/{missing}", {})
    )
    assert status == 404 and headers["content-type"].startswith("text/html")
    assert page == (PAGES / "404.html").read_text(encoding="utf-8")
    assert image_status == 404 and "Page not found" not in answer


def test_nothing_but_the_pages_is_served(host) -> None:
    paths = ["/js/", "/vendor/", "/.git/config", "/../etc/passwd", "/study", "/catalogue.json.new"]
    assert [answer[0] for answer in ask(host, *((path, {}) for path in paths))] == [404, 404, 404, 400, 404, 404]


def test_search_engines_find_every_study_in_plain_html(host) -> None:
    url = host.ansible.get_variables()["site_url"].rstrip("/")
    studies = json.loads(host.file("/var/www/gallery/catalogue.json").content_string)["studies"]
    [[status, headers, _digest, robots], [_, sitemap_headers, _, sitemap]] = ask(
        host, ("/robots.txt", {}), ("/sitemap.xml", {})
    )
    assert (
        status == 200 and headers["content-type"].startswith("text/plain") and f"Sitemap: {url}/sitemap.xml" in robots
    )
    assert sitemap_headers["content-type"].split(";")[0] in ("text/xml", "application/xml")
    assert studies and all(f"<loc>{url}/study/{study['id']}</loc>" in sitemap for study in studies)
    pages = ask(host, *((f"/study/{study['id']}", {}) for study in studies))
    for study, (status, headers, _digest, page) in zip(studies, pages, strict=True):
        assert status == 200 and headers["content-type"].startswith("text/html")
        assert "application/ld+json" in page and f'href="{url}/study/{study["id"]}"' in page
        assert set(policy(headers)["script-src"]) == {"'self'"}
