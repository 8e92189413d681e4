# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The public pages before hostile data, without data, and while the servers are busy."""

from __future__ import annotations

from typing import Any

import pytest
from pages import STUDY, open_front, ordinary, pictures, whole_slides

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&{{7*7}}'


def test_hostile_data_stays_text(browser: Any, catalogue: dict[str, Any]) -> None:
    real = ordinary(catalogue)
    study = {
        **real,
        "title": HOSTILE,
        "description": HOSTILE,
        "licence": HOSTILE,
        "source": "javascript:window.hacked=1",
        "thumbnail": "https://evil.invalid/x.png",
        "modalities": [HOSTILE],
    }
    data = {
        "site": {"title": HOSTILE, "description": HOSTILE, "contact": "javascript:alert(1)"},
        "studies": [study, {**study, "id": HOSTILE}],
    }
    browser.answer(
        **{"/catalogue.json": (200, data), "/simplified-tags": (200, {HOSTILE: HOSTILE, "Nested": [{"A": HOSTILE}]})}
    )
    open_front(browser)
    assert browser.one("h1").text == HOSTILE and browser.one(".card-link").text == HOSTILE
    assert not browser.requests("evil") and not browser.all('.card script, .card a[href^="javascript:"], img[src=x]')
    assert browser.all(".card-link")[1].get_attribute("href").startswith(f"{browser.url}/study.html?id=%3Cimg")
    browser.one(".card-link").click()
    assert browser.one("h1").text == HOSTILE
    browser.one(".images a").click()
    browser.one(".lightbox tbody tr")
    assert HOSTILE in browser.one(".lightbox tbody").text
    assert not browser.all('#content script, dialog script, [href^="javascript:"], img[src=x]')
    assert browser.run("return window.hacked") is None


def test_empty_catalogue_is_said(browser: Any) -> None:
    browser.answer(**{"/catalogue.json": (200, {"site": {"title": "New"}, "studies": []})})
    browser.open("/")
    assert browser.one(".state h2").text == "No studies yet"


@pytest.mark.parametrize("path", ["/", "study", "slide"])
def test_busy_servers_are_said_and_asked_again(browser: Any, catalogue: dict[str, Any], path: str) -> None:
    study = (whole_slides(catalogue)[0] if path == "slide" else ordinary(catalogue))["id"]
    busy = {"/": "/catalogue.json", "study": f"/studies/{study}", "slide": "/wsi/pyramids/"}[path]
    browser.answer(**{busy: (503, {})})
    browser.open("/" if path == "/" else STUDY + study)
    assert "busy" in browser.one(".state-error h2").text
    browser.run("delete window.answers[arguments[0]]", busy)
    browser.one(".state-error .button").click()
    browser.one(".card-link" if path == "/" else ".series")
    browser.until(lambda: pictures(browser), "no picture after the second try")


def test_an_image_without_preview_is_said(browser: Any, catalogue: dict[str, Any]) -> None:
    study = {**ordinary(catalogue), "thumbnail": "/instances/none/rendered?width=256"}
    browser.answer(**{"/catalogue.json": (200, {"site": {}, "studies": [study]}), "/instances/none": (415, {})})
    open_front(browser)
    browser.until(lambda: "has no preview" in browser.one(".card-picture").text, "nothing is said about the preview")
    assert all("/instances/none/" in error for error in browser.errors())
