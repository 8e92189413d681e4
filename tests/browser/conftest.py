# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A headless Chromium on the public pages of a running site: IMAGING_REPOSITORY_URL, by default the demo's."""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--ignore-certificate-errors",
    "--hide-scrollbars",
]
# A format that the image server cannot draw is a fact of real data; the pages say so in words. The network changes when
# a container starts or stops on this machine; the pages ask again.
EXPECTED_ERRORS = ("status of 415", "net::ERR_NETWORK_CHANGED", "net::ERR_SOCKET_NOT_CONNECTED")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --screenshots."""
    parser.addoption(
        "--screenshots", type=Path, metavar="DIRECTORY", help="also write gallery.png and deep-zoom.png there"
    )


@pytest.fixture(scope="session")
def url() -> str:
    """The address of the site, without a slash at its end."""
    return os.environ.get("IMAGING_REPOSITORY_URL", "https://localhost:8443").rstrip("/")


@pytest.fixture(scope="session")
def catalogue(url: str) -> dict[str, Any]:
    """The site's catalogue; the whole run ends here when there is no site."""
    context = ssl.create_default_context()
    # Whether the certificate is right is checked by verify.yml; here it may be of a test site.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{url}/catalogue.json", timeout=10, context=context) as answer:
            found = json.load(answer)
    except OSError as error:
        pytest.exit(f"no site at {url} ({error}); run bin/demo, or set IMAGING_REPOSITORY_URL", returncode=2)
    if not found["studies"]:
        pytest.exit(f"the site at {url} has no studies; run playbooks/load.yml", returncode=2)
    return found


class Browser:
    """What the tests do with a page, in few words."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url
        self._scripts: list[str] = []

    def reset(self, width: int = 1280, height: int = 860, phone: bool = False, **media: str) -> None:
        """Begin anew: nothing injected, no page, this size and these media features (`prefers_color_scheme='dark'`)."""
        self.driver.get("about:blank")
        for identifier in self._scripts:
            self.command("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)
        self._scripts.clear()
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": name.replace("_", "-"), "value": value} for name, value in media.items()],
        )

    def command(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Run one command of Chromium's own protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def before_pages(self, script: str) -> None:
        """Run `script` in every page from now on, before the page's own scripts."""
        self._scripts.append(self.command("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"])

    def answer(self, **answers: tuple[int, Any]) -> None:
        """Answer requests whose address contains a keyword by its (status, JSON), here and not by the site."""
        self.before_pages(
            "window.answers = "
            + json.dumps(answers)
            + """;
            const real = window.fetch;
            window.fetch = async (address, options) => {
                const key = Object.keys(window.answers).find((part) => String(address).includes(part));
                if (!key) return real(address, options);
                const [status, body] = window.answers[key];
                return new Response(options?.method === "HEAD" ? null : JSON.stringify(body), {status});
            };"""
        )

    def open(self, path: str) -> None:
        """Open a page of the site."""
        self.driver.get(self.url + path)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements of a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> WebElement:
        """Return the first visible element of a CSS selector, once there is one."""
        return self.until(
            lambda: next((found for found in self.all(selector) if found.is_displayed()), None), f"no {selector}"
        )

    def until(self, condition: Any, message: str, seconds: float = 15) -> Any:
        """Return the first true value of `condition`, or fail with `message`."""
        return WebDriverWait(self.driver, seconds, poll_frequency=0.1).until(lambda _driver: condition(), message)

    def errors(self) -> list[str]:
        """Return the console's errors since the last call."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE" and not any(part in entry["message"] for part in EXPECTED_ERRORS)
        ]

    def cache_statuses(self) -> dict[str, tuple[int, str]]:
        """Return (status, X-Cache-Status) of each address that came through the site's cache since the last call."""
        found = {}
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.responseReceived":
                answer = event["params"]["response"]
                headers = {name.lower(): value for name, value in answer["headers"].items()}
                if "x-cache-status" in headers:
                    found[answer["url"].removeprefix(self.url)] = (answer["status"], headers["x-cache-status"])
        return found

    def requests(self, part: str = "") -> list[str]:
        """Return the addresses that this page has asked for and that contain `part`, repeated ones once."""
        found = self.run('return performance.getEntriesByType("resource").map((entry) => entry.name)')
        return sorted({address for address in found if part in address})


@pytest.fixture(scope="session")
def session(url: str, catalogue: dict[str, Any]) -> Iterator[Browser]:
    """One Chromium for the whole run."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Debian's own driver: selenium must not look for one on the network.
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(60)
    yield Browser(driver, url)
    driver.quit()


@pytest.fixture
def browser(session: Browser) -> Iterator[Browser]:
    """A fresh page of desktop size; a test fails when the console has an error in the end."""
    session.reset()
    session.command("Performance.enable")
    yield session
    assert session.errors() == []
