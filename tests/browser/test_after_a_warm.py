# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""After a warm nothing that the pages ask for is a MISS: their addresses and the warm's come from one table.

bin/test empties the cache and warms it before. By its name this file comes before the others, whose visits fill it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pages import STUDY, open_front, open_slide, ordinary, whole_slides
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

STUDIES = 8


@pytest.fixture
def visitor(browser: Any) -> Any:
    """A browser that remembers no answer itself."""
    browser.command("Network.enable")
    browser.command("Network.setCacheDisabled", cacheDisabled=True)
    yield browser
    browser.command("Network.setCacheDisabled", cacheDisabled=False)


def missed(visitor: Any, at_least: int) -> dict[str, tuple[int, str]]:
    """Return what the cache did not have. What cannot be drawn is never kept."""
    drivers = visitor.run("return fetch('/drivers/drivers.js').then((answer) => answer.text())")
    cannot_draw = {
        status for one in json.loads(re.search(r"= (\{.*\});", drivers)[1]).values() for status in one["cannot_draw"]
    }
    statuses = visitor.cache_statuses()
    assert len(statuses) >= at_least, statuses
    return {
        address: found
        for address, found in statuses.items()
        if found != (200, "HIT") and found[0] not in cannot_draw and not absent(visitor, address, found)
    }


def absent(visitor: Any, address: str, found: tuple[int, str]) -> bool:
    """Return whether an address is that of a pyramid of a series that is no slide: 404 is never kept either."""
    return found[0] == 404 and bool(visitor.run("return document.querySelector('.series') !== null"))


def scroll_through(visitor: Any, selector: str) -> None:
    """Bring each element of a selector into view, and wait for its picture."""
    for element in visitor.all(selector):
        visitor.run('arguments[0].scrollIntoView({block: "center"})', element)
        visitor.until(
            lambda element=element: visitor.run('return !!arguments[0].querySelector(".frame.loaded")', element),
            element.text,
        )


def test_the_front_page_is_warm(visitor: Any, catalogue: dict[str, Any]) -> None:
    open_front(visitor)
    scroll_through(visitor, ".card")
    if any(study["whole_slide"] for study in catalogue["studies"]):
        visitor.until(lambda: visitor.all(".card canvas"), "no slide is drawn as a whole")
    assert missed(visitor, len(catalogue["studies"]) // 2) == {}


def test_studies_and_their_large_pictures_are_warm(visitor: Any, catalogue: dict[str, Any]) -> None:
    chosen = {study["id"]: study for study in [ordinary(catalogue), *catalogue["studies"][:STUDIES]]}
    for study in chosen.values():
        visitor.open(STUDY + study["id"])
        visitor.one(".facts")
        scroll_through(visitor, ".series")
        if pictures := visitor.all(".images a"):
            # Not below the head of the page, which takes the click.
            visitor.run('arguments[0].scrollIntoView({block: "center"})', pictures[0])
            pictures[0].click()
            for _ in range(2):
                visitor.one(".lightbox tbody tr")
                visitor.until(
                    lambda: not visitor.all("#lightbox-image[aria-busy]") or visitor.all("#lightbox-image .state"),
                    "no large picture",
                )
                ActionChains(visitor.driver).send_keys(Keys.ARROW_RIGHT).perform()
        assert missed(visitor, 3) == {}, study["title"]


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (2560, 1440)])
def test_the_first_view_of_a_slide_is_warm(visitor: Any, catalogue: dict[str, Any], width: int, height: int) -> None:
    whole_slides(catalogue)
    visitor.reset(width=width, height=height)
    visitor.command("Network.setCacheDisabled", cacheDisabled=True)
    open_slide(visitor, catalogue)
    assert missed(visitor, 3) == {}
