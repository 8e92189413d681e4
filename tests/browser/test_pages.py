# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The public pages as visitors use them: with a mouse, with a keyboard and on a phone."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from pages import STUDY, colours, open_front, open_slide, ordinary, pictures, settled
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

# Text whose contrast with what is behind it is below WCAG AA: 4.5, or 3 for large text.
LOW_CONTRAST = """
    const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return text.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a]; };
    const over = (top, under) => top.slice(0, 3).map((part, i) => part * top[3] + under[i] * (1 - top[3])).concat(1);
    const behind = (node) => {
        if (!node) return [255, 255, 255, 1];
        const colour = parse(getComputedStyle(node).backgroundColor);
        return colour[3] === 1 ? colour : over(colour, behind(node.parentElement));
    };
    const light = (colour) => { const [r, g, b] = colour.map((part) => part / 255).map((part) =>
        part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    return [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility({visibilityProperty: true})
        && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())
        && !node.closest(".skip, .visually-hidden, noscript, :disabled")).flatMap((node) => {
            const style = getComputedStyle(node), under = behind(node), size = parseFloat(style.fontSize);
            const [one, other] = [light(over(parse(style.color), under)), light(under)].sort((a, b) => b - a);
            const ratio = (one + 0.05) / (other + 0.05);
            const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
            if (ratio >= (large ? 3 : 4.5)) return [];
            return [`${node.tagName} ${node.className} "${node.textContent.slice(0, 40)}" ${ratio}`];
        });
"""

# --- The front page ---


def test_front_page_shows_all_studies_with_pictures(browser: Any, catalogue: dict[str, Any]) -> None:
    browser.before_pages(
        "window.shift = 0; new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        ' window.shift += entry.value; }).observe({type: "layout-shift", buffered: true});'
    )
    open_front(browser)
    assert browser.one("h1").text == catalogue["site"]["title"] and catalogue["site"]["title"] in browser.driver.title
    titles = [link.text for link in browser.all(".card-link")]
    assert titles == [study["title"] for study in catalogue["studies"]][:60]
    for card in browser.all(".card"):
        browser.run('arguments[0].scrollIntoView({block: "center"})', card)
        browser.until(
            lambda card=card: browser.run('return !!arguments[0].querySelector(".frame.loaded")', card), card.text
        )
    assert pictures(browser) >= len(titles) / 2
    figures = [int(re.sub(r"\D", "", figure.text)) for figure in browser.all("#figures dd")]
    assert figures[0] == len(catalogue["studies"])
    assert figures[2] == sum(study["instances"] for study in catalogue["studies"])
    for study, card in zip(catalogue["studies"], browser.all(".card"), strict=False):
        assert study["licence"] in card.text
    assert browser.run(
        'return [...document.images].every((image) => image.hasAttribute("alt") && image.width && image.height)'
    )
    assert browser.run("return window.shift") < 0.1


def test_search_narrows_while_typing_and_back_returns_to_it(browser: Any, catalogue: dict[str, Any]) -> None:
    open_front(browser)
    wanted = catalogue["studies"][-1]
    browser.one("#query").send_keys(wanted["title"])
    links = browser.all(".card-link")
    assert wanted["title"] in [link.text for link in links] and len(links) <= len(catalogue["studies"])
    assert "q=" in browser.driver.current_url
    next(link for link in links if link.text == wanted["title"]).click()
    assert browser.one("h1").text == wanted["title"]
    browser.driver.back()
    browser.one(".card-link")
    assert browser.one("#query").get_attribute("value") == wanted["title"]

    browser.one("#query").send_keys(" nosuchthing")
    assert "No study matches" in browser.one(".state h2").text and not browser.all(".card")
    browser.one(".state .button").click()
    assert len(browser.all(".card-link")) == min(60, len(catalogue["studies"]))


def test_search_knows_modality_and_licence(browser: Any, catalogue: dict[str, Any]) -> None:
    open_front(browser)
    study = catalogue["studies"][0]
    for text in [study["licence"], study["modalities"][0]]:
        browser.one("#query").clear()
        browser.one("#query").send_keys(text)
        assert study["title"] in [link.text for link in browser.all(".card-link")]
    browser.one("#query").clear()
    browser.one("#query").send_keys(" ")
    for chip in browser.all(".chip input"):
        chip.click()
        code = chip.get_attribute("value")
        assert len(browser.all(".card")) == sum(code in study["modalities"] for study in catalogue["studies"])
        chip.click()


def test_keyboard_alone_reaches_a_study(browser: Any) -> None:
    open_front(browser)
    for _ in range(40):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        focused = browser.driver.switch_to.active_element
        assert browser.run(
            """
            const node = arguments[0], card = node.closest(".card") ?? node, chip = node.nextElementSibling ?? node;
            return [node, card, chip].some((one) => getComputedStyle(one).outlineStyle !== "none")""",
            focused,
        ), "focus is not visible"
        if "card-link" in (focused.get_attribute("class") or ""):
            break
    title = focused.text
    focused.send_keys(Keys.ENTER)
    assert browser.one("h1").text == title


# --- A study ---


def test_study_page_shows_images_and_facts(browser: Any, catalogue: dict[str, Any]) -> None:
    study = ordinary(catalogue)
    open_front(browser)
    next(link for link in browser.all(".card-link") if link.text == study["title"]).click()
    assert browser.one("h1").text == study["title"]
    browser.until(
        lambda: browser.run(
            'return [...document.querySelectorAll(".images img")].some((image) => image.naturalWidth > 0)'
        ),
        "no thumbnail",
    )
    facts = browser.one(".facts").text
    assert study["licence"] in facts and f"{study['instances']:,} image" in facts
    if study["source"].startswith("http"):
        assert study["source"].rstrip("/") in [
            link.get_attribute("href").rstrip("/") for link in browser.all(".facts a")
        ]


def test_one_image_large_by_mouse_and_keyboard(browser: Any, catalogue: dict[str, Any]) -> None:
    browser.open(STUDY + ordinary(catalogue)["id"])
    browser.one(".images a").click()
    image = browser.one("#lightbox-image img")
    browser.until(lambda: browser.run("return arguments[0].naturalWidth > 0", image), "no large image")
    first = browser.driver.current_url
    title = browser.one("#lightbox-title").text
    if " of 1" not in title:
        ActionChains(browser.driver).send_keys(Keys.ARROW_RIGHT).perform()
        assert browser.one("#lightbox-title").text != title
        browser.one("[data-do=previous]").click()
        assert browser.one("#lightbox-title").text == title and browser.driver.current_url == first
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    assert browser.until(lambda: not browser.all("dialog[open]"), "Escape does not close")
    assert "image=" not in browser.driver.current_url
    # The address of an image opens it, also in a new window.
    browser.driver.get("about:blank")
    browser.driver.get(first)
    browser.one("#lightbox-image img")
    browser.until(lambda: browser.one("#lightbox-title").text == title, "the image does not find its name")


def test_metadata_opens_and_is_searched(browser: Any, catalogue: dict[str, Any]) -> None:
    browser.open(STUDY + ordinary(catalogue)["id"])
    summary = browser.one(".metadata summary")
    assert not browser.requests("/simplified-tags") or not browser.all(".metadata[open]")
    browser.run("arguments[0].scrollIntoView()", summary)
    summary.send_keys(Keys.ENTER)
    field = browser.one(".metadata input")
    rows = len(browser.all(".metadata tbody tr"))
    field.send_keys("sop instance")
    shown = [row.text for row in browser.all(".metadata tbody tr") if row.is_displayed()]
    assert 0 < len(shown) < rows and all("SOP Instance UID" in row for row in shown)


def test_unknown_study_says_so(browser: Any) -> None:
    for identifier in ["nonsense", "-".join(["00000000"] * 5)]:
        browser.open(STUDY + identifier)
        assert "not found" in browser.one(".state-error h2").text
    assert all("404" in error for error in browser.errors())


# --- Every visitor ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(browser: Any, catalogue: dict[str, Any], scheme: str) -> None:
    browser.reset(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    open_front(browser)
    assert browser.run(LOW_CONTRAST) == []
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", background)[0]) > 128) == (scheme == "light")
    for study in {study["id"]: study for study in [ordinary(catalogue), *catalogue["studies"][:1]]}.values():
        browser.open(STUDY + study["id"])
        browser.one(".facts")
        assert browser.run(LOW_CONTRAST) == []
    browser.open(STUDY + ordinary(catalogue)["id"])
    browser.one(".images a").click()
    browser.one(".lightbox tbody tr")
    assert browser.run(LOW_CONTRAST) == []


def test_phone_needs_no_sideways_scrolling(browser: Any, catalogue: dict[str, Any]) -> None:
    browser.reset(width=360, height=740, phone=True)
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    open_front(browser)
    assert browser.run(wide) <= 0
    for study in catalogue["studies"][:4]:
        browser.open(STUDY + study["id"])
        browser.one(".facts")
        browser.until(lambda: pictures(browser), "no picture")
        assert browser.run(wide) <= 0
    small = browser.run(
        """return [...document.querySelectorAll("button, .button, .images a, input")]
        .filter((node) => node.checkVisibility())
        .map((node) => node.getBoundingClientRect()).filter((box) => box.width < 24 || box.height < 24).length"""
    )
    assert small == 0, "targets too small for a finger"
    open_slide(browser, catalogue)
    assert browser.run(wide) <= 0 and colours(browser) > 30


def test_nothing_comes_from_another_host(browser: Any, catalogue: dict[str, Any]) -> None:
    open_front(browser)
    browser.until(lambda: pictures(browser), "no picture")
    asked = browser.requests()
    open_slide(browser, catalogue)
    asked += browser.requests()
    assert asked and all(address.startswith((f"{browser.url}/", "data:", "blob:")) for address in asked)


# --- Pictures for the docs ---


def test_screenshots(browser: Any, catalogue: dict[str, Any], request: pytest.FixtureRequest) -> None:
    directory: Path | None = request.config.getoption("--screenshots")
    if directory is None:
        pytest.skip("only with --screenshots DIRECTORY")
    directory.mkdir(parents=True, exist_ok=True)

    def save(name: str) -> None:
        picture = browser.command("Page.captureScreenshot", format="png")["data"]
        (directory / name).write_bytes(base64.b64decode(picture))

    browser.reset(height=1000)
    open_front(browser)
    browser.until(
        lambda: (
            browser.run('return document.querySelectorAll(".frame.loaded").length') >= min(4, len(catalogue["studies"]))
        ),
        "no pictures",
    )
    browser.run("document.activeElement.blur(); return new Promise((done) => setTimeout(done, 600))")
    save("gallery.png")
    # Smaller, because a picture full of detail makes a large file.
    browser.reset(width=960, height=600)
    open_slide(browser, catalogue)
    browser.one("[data-do=in]").click()
    settled(browser)
    browser.run("document.activeElement.blur()")
    save("deep-zoom.png")
