# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What search engines read of a gallery: whole pages out of words that anybody may have written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import gallery_pages

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = (REPOSITORY / "roles/gallery/files/gallery/study.html").read_text()
URL = "https://images.example.org"
SITE = {"title": "Images of Bari", "description": "Open images.", "contact": ""}
STUDY = {
    "id": "0a1b2c3d-4e5f6071",
    "title": "Mouse brain, coronal",
    "description": "A section at 0.5 µm.",
    "licence": "CC-BY-4.0",
    "source": "https://doi.org/10.1000/1",
    "thumbnail": "/pictures/x?width=256&height=256",
}


class Page(HTMLParser):
    """Collects the tags of a page and the text of its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.data: dict = {}
        self.last = ""
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.last = dict(attrs).get("type") or tag

    def handle_data(self, data):
        if self.last == "application/ld+json" and not self.data:
            self.data = json.loads(data)
        self.texts[self.last] = self.texts.get(self.last, "") + data


def page(**changes) -> Page:
    return Page(gallery_pages.page(TEMPLATE, SITE, {**STUDY, **changes}, URL))


def test_a_page_says_in_plain_html_what_its_study_is():
    made = page()
    assert "Mouse brain, coronal · Images of Bari" in made.texts["title"]
    assert ("link", {"rel": "canonical", "href": f"{URL}/study/{STUDY['id']}"}) in made.tags
    assert any(tag == "img" and attributes["src"] == STUDY["thumbnail"] for tag, attributes in made.tags)
    assert any(attributes.get("src") == "/js/study.js" for _tag, attributes in made.tags)
    assert made.data == {
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": "Mouse brain, coronal",
        "description": "A section at 0.5 µm.",
        "identifier": STUDY["id"],
        "url": f"{URL}/study/{STUDY['id']}",
        "license": "https://spdx.org/licenses/CC-BY-4.0.html",
        "isBasedOn": "https://doi.org/10.1000/1",
        "image": f"{URL}{STUDY['thumbnail']}",
        "isAccessibleForFree": True,
        "includedInDataCatalog": {"@type": "DataCatalog", "name": "Images of Bari", "url": URL},
    }


def test_what_is_not_known_is_left_out():
    made = page(title="", description="", licence="As the authors say", source="", thumbnail="")
    assert made.data["description"] == "Untitled study. Open images." and "isBasedOn" not in made.data
    assert made.data["license"] == "As the authors say" and "image" not in made.data


@given(st.text(), st.text(), st.text(), st.text())
def test_no_word_becomes_markup(title, description, licence, source):
    plain = [tag for tag, _attributes in page(licence="x", source="x").tags]
    made = page(title=title, description=description, licence=f"x{licence}", source=f"x{source}")
    assert [tag for tag, _attributes in made.tags if tag != "a"] == [tag for tag in plain if tag != "a"]
    assert made.data["name"] == (" ".join(title.split()) or "Untitled study")


def test_markup_in_the_words_stays_text():
    made = page(title="</title><script>alert(1)</script>", description="</script><img src=x onerror=alert(1)>")
    assert made.data["name"] == "</title><script>alert(1)</script>"
    assert not [attributes for tag, attributes in made.tags if "onerror" in attributes]


@pytest.mark.parametrize("identifier", ["../x", "a/b", ".", ".hidden", "", "a b", "ä", "a" * 201, "<img>"])
def test_an_identifier_that_is_no_file_name_has_no_page(identifier):
    assert not gallery_pages.is_plain(identifier)
    catalogue = {"site": SITE, "studies": [{**STUDY, "id": identifier}]}
    assert not [path for path, _text in gallery_pages.files(TEMPLATE, catalogue, URL) if path.startswith("study/")]


def test_the_list_of_all_pages_is_split_where_it_is_full():
    few = gallery_pages.sitemaps([f"{URL}/study/a&b"], URL)
    assert [node.text for node in ElementTree.fromstring(few["sitemap.xml"]).iter() if (node.text or "").strip()] == [
        f"{URL}/study/a&b"
    ]
    many = gallery_pages.sitemaps((f"{URL}/study/{number}" for number in range(100_001)), URL)
    assert sorted(many) == ["sitemap-1.xml", "sitemap-2.xml", "sitemap-3.xml", "sitemap.xml"]
    assert many["sitemap-1.xml"].count("<loc>") == 50_000 and f"{URL}/sitemap-3.xml" in many["sitemap.xml"]


def test_crawlers_are_led_to_the_pages_and_kept_from_the_images():
    text = gallery_pages.robots(URL)
    assert f"Sitemap: {URL}/sitemap.xml" in text and "Allow: /study/" in text and "Disallow: /" in text


def run(directory: Path, check: bool = False) -> dict:
    """The module on a gallery below a directory."""
    arguments = {
        "pages": str(directory / "www"),
        "dest": str(directory / "made"),
        "url": URL,
        "_ansible_check_mode": check,
    }
    file = directory / "arguments.json"
    file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.imaging.repository.plugins.modules.gallery_pages", str(file)],
        cwd=REPOSITORY / "collections",
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_module_writes_what_differs_and_removes_what_is_gone(tmp_path):
    (tmp_path / "www").mkdir()
    assert not run(tmp_path)["changed"]
    (tmp_path / "www/study.html").write_text(TEMPLATE)
    catalogue = tmp_path / "www/catalogue.json"
    catalogue.write_text(json.dumps({"site": SITE, "studies": [STUDY, {**STUDY, "id": "other"}]}))
    planned = run(tmp_path, check=True)
    assert planned["changed"] and not (tmp_path / "made").exists()
    assert sorted(run(tmp_path)["written"]) == [
        "robots.txt",
        "sitemap.xml",
        f"study/{STUDY['id']}.html",
        "study/other.html",
    ]
    assert not run(tmp_path)["changed"]
    catalogue.write_text(json.dumps({"site": SITE, "studies": [STUDY]}))
    assert run(tmp_path)["removed"] == ["study/other.html"]
    assert not re.search("other", (tmp_path / "made/sitemap.xml").read_text())
