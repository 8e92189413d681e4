# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The gallery's pages: what is vendored is what was recorded, and nothing breaks a strict content security policy."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

PAGES = Path(__file__).parents[2] / "roles/gallery/files/gallery"
VENDORED = PAGES / "vendor/openseadragon"
HTML = sorted(PAGES.glob("*.html"))
ROLES = Path(__file__).parents[2] / "roles"
SCRIPTS = sorted((PAGES / "js").glob("*.js"))
DRIVERS = sorted(ROLES.glob("image_server_*/files/gallery/driver.js"))
OWN = [path for path in sorted(PAGES.rglob("*")) if path.is_file() and "vendor" not in path.parts] + DRIVERS


class Page(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", ["openseadragon.min.js", "LICENSE"])
def test_vendored_files_are_the_recorded_ones(name: str) -> None:
    recorded = re.search(
        rf"^- {re.escape(name)}: `sha256-([0-9a-f]{{64}})`$", (VENDORED / "README.md").read_text(), re.M
    )
    assert recorded and hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == recorded[1]


def test_vendored_version_is_the_recorded_one() -> None:
    version = re.search(r"^# OpenSeadragon (\S+)$", (VENDORED / "README.md").read_text(), re.M)
    assert version and f"openseadragon {version[1]}" in (VENDORED / "openseadragon.min.js").read_text()[:200]


@pytest.mark.parametrize("path", HTML, ids=lambda path: path.name)
def test_pages_keep_to_a_strict_content_security_policy(path: Path) -> None:
    for tag, attributes in Page(path).tags:
        assert tag != "script" or attributes.get("src"), "no inline script"
        assert tag != "style", "no inline style"
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")]


@pytest.mark.parametrize("path", HTML, ids=lambda path: path.name)
def test_pages_are_whole_and_refer_only_to_files_that_exist(path: Path) -> None:
    page = Page(path)
    names = [tag for tag, _attributes in page.tags]
    attributes_of = dict(page.tags)
    assert attributes_of["html"].get("lang") == "en" and names.count("h1") == (0 if path.name == "study.html" else 1)
    assert any(attributes.get("name") == "viewport" for tag, attributes in page.tags if tag == "meta")
    for tag, attributes in page.tags:
        for reference in (attributes.get("src"), attributes.get("href")):
            if reference and reference.startswith("/") and reference not in ("/", "/catalogue.json"):
                assert (PAGES / reference[1:]).is_file(), f"{tag} {reference}"
        assert tag != "img" or {"alt", "width", "height"} <= set(attributes)
        assert tag != "button" or attributes.get("type") == "button"


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.relative_to(ROLES)))
def test_nothing_comes_from_another_host_or_makes_markup_of_data(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"https?://[\w.-]+", text)) <= {"http://www.w3.org"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def exports(text: str) -> set[str]:
    """The names that a module exports."""
    declared = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", text, re.M)
    listed = [name for names in re.findall(r"^export \{([^}]+)\};$", text, re.M) for name in re.findall(r"\w+", names)]
    return {*declared, *listed}


@pytest.mark.parametrize("path", [*SCRIPTS, *DRIVERS], ids=lambda path: str(path.relative_to(ROLES)))
def test_modules_import_only_what_others_export(path: Path) -> None:
    text = path.read_text()
    imports = re.findall(r'^import \{([^}]+)\} from "([\w./]+)";$', text, re.M)
    assert len(imports) == len(re.findall(r"^import\b", text, re.M))
    used = re.sub(r"^import [^;]*;", "", text, flags=re.M)
    for names, source in imports:
        imported = set(re.findall(r"\w+", names))
        if source in ("../drivers.js", "/drivers/drivers.js"):
            # Written by the role.
            exported = {"drivers"}
        else:
            exported = exports((PAGES / source[1:] if source.startswith("/") else path.parent / source).read_text())
        assert imported <= exported, source
        assert imported <= set(re.findall(r"\w+", used)), f"{path.name} does not use all of {names}"


@pytest.mark.parametrize("path", DRIVERS, ids=lambda path: str(path.relative_to(ROLES)))
def test_a_driver_answers_all_that_the_pages_ask(path: Path) -> None:
    asked = {name for script in SCRIPTS for name in re.findall(r"\b(?:driver|draws|one)\.(\w+)\(", script.read_text())}
    asked -= {"text"}
    assert {"study", "thumbnail", "tileSource", "metadata"} <= asked <= exports(path.read_text())


@pytest.mark.parametrize("path", DRIVERS, ids=lambda path: str(path.relative_to(ROLES)))
def test_a_driver_takes_its_addresses_from_the_policy(path: Path) -> None:
    """What a script spells out itself, no warm fetches: addresses come from the policy's table of pages."""
    policy = yaml.safe_load((path.parents[2] / "meta/policy.yml").read_text())
    text = re.sub(r"^(?://|import ).*", "", path.read_text(), flags=re.M)
    assert not re.findall(r"""["'`]/\w[^"'`]*""", text)
    assert set(re.findall(r'address\("(\w+)"', text)) | {"thumbnail", "picture"} == set(policy["pages"])
