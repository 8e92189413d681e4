# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the warm waits for: the hours it may work in, and the visitors, by the log that the role's nginx writes."""

from __future__ import annotations

import http.client
import ssl
import threading
import time

import pytest

from .conftest import ROUTES, Site, Warm, until
from .image_server import ImageServer
from .rendered_nginx import RenderedNginx

POLICY = {
    "user": "cache",
    "routes": ROUTES,
    "zones": [{"name": "images", "max_size_mib": 64, "mean_size_kib": 8, "inactive": "365d"}],
}
PAGES = [f"image-{number}" for number in range(1500)]


def timezone(clock: str) -> str:
    """Return the TZ in which it is now `clock`, hours:minutes:seconds (tzset(3): hours west of Greenwich)."""
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    now = time.gmtime()
    west = (now.tm_hour - hours) * 3600 + (now.tm_min - minutes) * 60 + now.tm_sec - seconds
    west -= round(west / 86400) * 86400
    hours, rest = divmod(abs(west), 3600)
    return f"TEST{'-' if west < 0 else '+'}{hours}:{rest // 60:02}:{rest % 60:02}"


def is_quiet(site: Site) -> bool:
    """Return whether the image server is asked for nothing for a while."""
    before = len(site.server.asked_at)
    time.sleep(1.0)
    return len(site.server.asked_at) == before


def test_a_window_closes_and_opens(make_site, monkeypatch):
    site = make_site(latency_seconds=0.05)
    site.warm.pages(*PAGES)
    site.warm.settings["windows"] = ["22:30-06:00", "12:00-12:01"]
    monkeypatch.setenv("TZ", timezone("05:59:56"))
    process = site.warm.start()
    site.wait_for(50)
    until(lambda: site.warm.status()["state"] == "waiting for 12:00")
    # What was in flight has come in by now.
    until(lambda: is_quiet(site))
    assert is_quiet(site)
    process.terminate()
    cut = site.warm.finish(process)
    assert cut.status == 5 and 50 <= cut.report["done"] < len(PAGES)

    site.server.latency_seconds = 0.0
    monkeypatch.setenv("TZ", timezone("22:29:57"))
    process = site.warm.start()
    until(lambda: site.warm.status().get("state") == "waiting for 22:30")
    result = site.warm.finish(process)
    assert (result.status, result.report["done"], result.report["resumed"]) == (0, len(PAGES), True)


@pytest.fixture
def site(tmp_path):
    """A site whose nginx is the role's, with the log of the visitors."""
    with ImageServer(latency_seconds=0.02) as server, RenderedNginx(tmp_path / "nginx", POLICY, server.port) as nginx:
        warm = Warm(tmp_path / "warm", nginx, nginx.zones / "images")
        warm.settings |= {
            "probe": "/images/image-0",
            "visitors_log": str(nginx.directory / "log/access.log"),
            "visitors_p95_limit_seconds": 0.3,
        }
        yield Site(server, nginx, warm)


def visit(site: Site, names: list[str], abreast: int = 1) -> None:
    """Ask for pages as a browser does."""
    left = iter(names)

    def visitor() -> None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", site.nginx.https_port, context=ssl._create_unverified_context()
        )
        for name in left:
            connection.request("GET", f"/images/{name}", headers={"User-Agent": "Mozilla/5.0"})
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read()

    threads = [threading.Thread(target=visitor) for _ in range(abreast)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_warm_pauses_while_visitors_wait(site):
    site.warm.pages(*PAGES)
    process = site.warm.start()
    site.wait_for(200)
    # How slow its own requests are says nothing about visitors.
    site.server.latency_seconds = 0.5
    time.sleep(2.5)
    assert site.warm.status()["state"] == "warming"
    visit(site, [f"visited-{number}" for number in range(20)], abreast=20)
    until(lambda: site.warm.status()["state"] == "paused for visitors")
    until(lambda: is_quiet(site))
    assert is_quiet(site)
    site.server.latency_seconds = 0.0
    # Nineteen of twenty are answered at once from now on.
    visit(site, ["visited-0"] * 600)
    until(lambda: site.warm.status()["state"] == "warming")
    result = site.warm.finish(process)
    assert (result.status, result.report["failed"], result.report["done"]) == (0, 0, len(PAGES))
