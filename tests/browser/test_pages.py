# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The public pages as visitors use them: with a mouse, with a keyboard, on a phone, and on a bad day."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&{{7*7}}'
STUDY = "/study.html?id="
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


# --- Deep zoom ---


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


# --- Hostile data and bad days ---


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
