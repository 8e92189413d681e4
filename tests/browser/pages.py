# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ways through the public pages: what the tests of them share."""

from __future__ import annotations

from typing import Any

import pytest

STUDY = "/study.html?id="


def whole_slides(catalogue: dict[str, Any]) -> list[dict[str, Any]]:
    """The studies that deep zoom shows; a test without one is skipped."""
    found = [study for study in catalogue["studies"] if study["whole_slide"]]
    if not found:
        pytest.skip("this site has no whole slide")
    return found


def ordinary(catalogue: dict[str, Any]) -> dict[str, Any]:
    """The study with most images among those that are no whole slides."""
    return max(
        (study for study in catalogue["studies"] if not study["whole_slide"]), key=lambda study: study["instances"]
    )


def pictures(browser: Any) -> int:
    """The number of pictures that have arrived: images with pixels, and drawn overviews."""
    return browser.run(
        'return [...document.querySelectorAll(".frame img")].filter((image) => image.naturalWidth > 0).length'
        ' + document.querySelectorAll(".frame canvas").length'
    )


def open_front(browser: Any) -> None:
    """Open the front page and wait for its cards."""
    browser.open("/")
    browser.one(".card-link")


def open_slide(browser: Any, catalogue: dict[str, Any]) -> None:
    """Go to a whole slide as a visitor does, and wait for its first tiles."""
    browser.open(STUDY + whole_slides(catalogue)[0]["id"])
    browser.one("a.slide .loaded canvas")
    browser.one("a.slide").click()
    browser.until(lambda: browser.requests("/wsi/tiles/"), "no tile was asked for")
    settled(browser)


def settled(browser: Any) -> None:
    """Wait until the slide stands still and all tiles of this view have come."""

    def tiles() -> list[str]:
        return browser.requests("/wsi/tiles/")

    last: list[str] = []

    def same() -> bool:
        nonlocal last
        now = tiles()
        if now and now == last and colours(browser):
            return True
        last = now
        browser.run("return new Promise((done) => setTimeout(done, 500))")
        return False

    browser.until(same, "the tiles do not come to an end", 30)


def colours(browser: Any) -> int:
    """How many different colours a sample of the slide's canvas has; a blank one has one."""
    return browser.run("""
        const canvas = document.querySelector(".openseadragon-canvas canvas");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4 * 97)
            if (data[i + 3]) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
        return seen.size;""")


def levels(browser: Any) -> list[int]:
    """The levels that tiles were asked of; 0 is full resolution."""
    return sorted({int(address.split("/wsi/tiles/")[1].split("/")[1]) for address in browser.requests("/wsi/tiles/")})
