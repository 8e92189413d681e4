# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Deep zoom as visitors use it, with a mouse and with a keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pages import colours, levels, open_slide, settled
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys


def test_a_click_zooms_into_real_tiles(browser: Any, catalogue: dict[str, Any]) -> None:
    # Without motion the address is that of the view as soon as the tiles are there.
    browser.reset(prefers_reduced_motion="reduce")
    open_slide(browser, catalogue)
    before, coarse = browser.requests("/wsi/tiles/"), levels(browser)
    assert colours(browser) > 30, "the canvas is blank"
    canvas = browser.one(".openseadragon-canvas")
    for _ in range(3):
        ActionChains(browser.driver).move_to_element_with_offset(canvas, 60, 40).click().perform()
        settled(browser)
    assert len(browser.requests("/wsi/tiles/")) > len(before) and min(levels(browser)) < min(coarse)
    assert colours(browser) > 30
    view = browser.driver.current_url
    assert "zoom=" in view
    zoom = browser.one("#zoom").text
    browser.driver.get("about:blank")
    browser.driver.get(view)
    browser.until(lambda: browser.one("#zoom").text == zoom, "the address does not bring the view back")


def test_keyboard_zooms_down_to_full_resolution(browser: Any, catalogue: dict[str, Any]) -> None:
    browser.reset(prefers_reduced_motion="reduce")
    open_slide(browser, catalogue)
    start = browser.one("#zoom").text
    for _ in range(8):
        ActionChains(browser.driver).send_keys("+").perform()
    settled(browser)
    assert levels(browser)[0] == 0
    before = browser.requests("/wsi/tiles/")
    ActionChains(browser.driver).send_keys(*[Keys.ARROW_LEFT] * 9).perform()
    settled(browser)
    assert len(browser.requests("/wsi/tiles/")) > len(before)
    ActionChains(browser.driver).send_keys("0").perform()
    browser.until(lambda: browser.one("#zoom").text == start, "0 does not show the whole slide")
    browser.one("[data-do=in]").click()
    browser.until(lambda: browser.one("#zoom").text != start, "the button does not zoom")


def test_right_and_lower_edge_are_not_distorted(browser: Any, catalogue: dict[str, Any]) -> None:
    """Tiles at the edge are padded to full size: what is drawn must end with the slide, at its own scale."""
    open_slide(browser, catalogue)
    pyramid = browser.run(
        "return fetch(arguments[0]).then((answer) => answer.json())",
        "/wsi/pyramids/" + re.search(r"series=([0-9a-f-]+)", browser.driver.current_url)[1],
    )
    assert [
        count * size for count, size in zip(pyramid["TilesCount"][-1], pyramid["TilesSizes"][-1], strict=False)
    ] >= pyramid["Sizes"][-1]
    slide = browser.run("""
        const canvas = document.querySelector(".openseadragon-canvas canvas");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let [left, top, right, bottom] = [canvas.width, canvas.height, 0, 0];
        for (let y = 0; y < canvas.height; y++)
            for (let x = 0; x < canvas.width; x++)
                if (data[4 * (y * canvas.width + x) + 3]) {
                    [left, right] = [Math.min(left, x), Math.max(right, x)];
                    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
                }
        return [right - left + 1, bottom - top + 1];""")
    assert slide[0] / slide[1] == pytest.approx(pyramid["TotalWidth"] / pyramid["TotalHeight"], rel=0.01)
