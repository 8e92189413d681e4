# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Kills, full disks, clocks that jump: what is warmed in the end is the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import until

PAGES = [f"image-{number}" for number in range(1200)]
KEYS = {f"/images/{name}" for name in PAGES}


@pytest.fixture
def busy(make_site):
    """A site whose warm takes about two seconds."""
    site = make_site(latency_seconds=0.01)
    site.warm.settings["attempts"] = 6
    site.warm.pages(*PAGES)
    return site


def kill(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.communicate(timeout=30)


def workers(process: subprocess.Popen) -> list[int]:
    """Return the processes that a warm has started."""
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def repeated(site) -> int:
    """Return how many requests the image server had more than once per page."""
    return sum(site.server.times[f"/images/{name}"] - 1 for name in PAGES)


@pytest.mark.parametrize("processes", [1, 2])
def test_kills_at_ten_random_moments(busy, processes):
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    busy.warm.settings |= {"processes": processes, "skip_cached": False}
    # Eight pages at a time: longer than all moments together, also on a fast machine.
    busy.server.latency_seconds = 10 * 0.8 * 8 / len(PAGES)
    for number in range(10):
        process = busy.warm.start()
        if number % 2:
            # On a busy machine Python alone needs longer to start than the longest of the moments.
            until(lambda started=process: busy.warm.status().get("pid") == started.pid)
        time.sleep(moments.uniform(0.1, 0.8))
        kill(process)
        # Whoever starts it again knows that something is to be done.
        assert not (busy.warm.state / "report.json").exists()
    busy.server.latency_seconds = 0.01
    result = busy.warm.run()
    assert (result.status, result.report["failed"], result.report["done"]) == (0, 0, len(PAGES)), f"seed {seed}"
    assert busy.nginx.keys() == KEYS, f"seed {seed}"
    # Not from the zone's files, which are not looked at here, but from the journal: a kill costs about a second.
    assert result.report["resumed"]
    assert not (busy.warm.state / "unfinished").exists()


def test_kills_cost_a_second_each(busy):
    busy.warm.settings["skip_cached"] = False
    process = busy.warm.start()
    busy.wait_for(600)
    kill(process)
    result = busy.warm.run()
    assert result.status == 0 and busy.nginx.keys() == KEYS
    # The cache answers what is asked for twice, so the image server has not noticed.
    assert repeated(busy) <= busy.warm.settings["concurrency"]
    assert result.report["hit"] + result.report["miss"] < len(PAGES) + result.report["requests"] / 2


def test_sigterm_ends_what_is_in_flight_and_goes_on_later(busy):
    process = busy.warm.start()
    busy.wait_for(300)
    process.send_signal(signal.SIGTERM)
    result = busy.warm.finish(process)
    assert result.status == 5 and "ended by SIGTERM" in result.message
    assert (busy.warm.state / "unfinished").exists()
    assert busy.warm.status()["state"] == "stopped"
    kept = len(busy.nginx.keys())
    assert kept == result.report["miss"]
    result = busy.warm.run()
    assert (result.status, result.report["done"], repeated(busy)) == (0, len(PAGES), 0)


def test_a_refresh_that_is_killed_goes_on_as_one(busy):
    assert busy.warm.run().status == 0
    process = busy.warm.start("run", "--refresh")
    until(lambda: busy.warm.status().get("refreshed", 0) >= 300)
    kill(process)
    result = busy.warm.run()
    assert (result.status, result.report["refresh"], result.report["refreshed"]) == (0, True, len(PAGES))


def test_a_second_start_is_refused(busy):
    process = busy.warm.start()
    busy.wait_for(100)
    second = busy.warm.start()
    _, message = second.communicate(timeout=30)
    assert second.returncode == 3 and f"process {process.pid}" in message
    assert busy.warm.finish(process).status == 0


def test_a_worker_that_is_killed_is_replaced(busy):
    busy.warm.settings["processes"] = 2
    process = busy.warm.start()
    busy.wait_for(200)
    os.kill(workers(process)[0], signal.SIGKILL)
    result = busy.warm.finish(process)
    assert (result.status, result.report["done"], result.report["failed"]) == (0, len(PAGES), 0)
    assert busy.nginx.keys() == KEYS


def test_workers_end_with_their_parent(busy):
    busy.warm.settings["processes"] = 2
    process = busy.warm.start()
    busy.wait_for(100)
    found = workers(process)
    assert len(found) == 2
    kill(process)
    until(lambda: not any(os.path.exists(f"/proc/{worker}/exe") for worker in found))


def test_nginx_is_reloaded_and_restarted_meanwhile(busy):
    process = busy.warm.start()
    busy.wait_for(200)
    busy.nginx.reload()
    busy.wait_for(500)
    busy.nginx.stop()
    time.sleep(1.5)
    busy.nginx.start()
    result = busy.warm.finish(process)
    assert (result.status, result.report["failed"]) == (0, 0)
    assert busy.nginx.keys() == KEYS


def test_full_disk_in_the_journal(busy, make_disk):
    grow = make_disk(busy.warm.state, "64k")
    result = busy.warm.run()
    assert result.status == 4 and "the disk is full" in result.message
    grow("20m")
    result = busy.warm.run()
    assert (result.status, result.report["done"]) == (0, len(PAGES))
    assert busy.nginx.keys() == KEYS and repeated(busy) == 0


def test_full_disk_in_the_cache(make_site, make_disk, tmp_path):
    grow = make_disk(tmp_path / "disk", "3m")
    site = make_site(zone=tmp_path / "disk/zone", latency_seconds=0.02)
    site.warm.pages(*PAGES)
    result = site.warm.run()
    assert result.status == 4 and "/disk/zone) is full: " in result.message
    grow("50m")
    result = site.warm.run()
    assert (result.status, result.report["failed"], result.report["left"]) == (0, 0, 0)
    assert site.nginx.keys() == KEYS


def test_a_kill_after_pages_of_a_full_zone_were_left(make_site):
    """The zone is made larger and the warm goes on: no page is missing, and none was counted that is not there."""
    # nginx itself would keep a little more, so that nothing is evicted.
    site = make_site(latency_seconds=0.01, max_size_mib=3)
    site.warm.settings["zones"][0]["max_size_mib"] = 2
    site.warm.settings["skip_cached"] = False
    # What goes into no zone goes on when the zone is full.
    drawn = site.warm.directory / "drawn"
    drawn.write_text("".join(f"/images/drawn-{number}\n" for number in range(4000)))
    site.warm.settings["readers"] = [{"url": f"http://127.0.0.1:{site.server.port}"}]
    site.warm.settings["sources"].append({"name": "drawn", "kind": "urls", "file": str(drawn), "readers": True})
    site.warm.pages(*PAGES)
    process = site.warm.start()
    until(lambda: site.warm.status().get("left", 0) > 0 and site.warm.status().get("refreshed", 0) >= 200)
    # The journal is written twice a second.
    time.sleep(1.0)
    kill(process)
    assert len(site.nginx.keys()) < len(PAGES)
    configuration = site.nginx.prefix / "nginx.conf"
    configuration.write_text(configuration.read_text().replace("max_size=3m", "max_size=500m"))
    site.nginx.reload()
    site.warm.settings["zones"][0]["max_size_mib"] = 500
    result = site.warm.run()
    assert result.report["resumed"]
    assert KEYS - site.nginx.keys() == set()
    assert (result.status, result.report["left"], result.report["miss"]) == (0, 0, len(PAGES))
    assert result.report["done"] == result.report["total"]


# The kernel's clock is everybody's, so only this process sees another one; the monotonic clock stays as it is.
CLOCK = """
import time
_time, _localtime = time.time, time.localtime
def _offset():
    with open("{offset}") as stream:
        return float(stream.read() or 0)
time.time = lambda: _time() + _offset()
time.localtime = lambda seconds=None: _localtime(time.time() if seconds is None else seconds)
"""


def test_the_clock_jumps(busy):
    offset = busy.warm.directory / "offset"
    offset.write_text("0")
    (busy.warm.directory / "sitecustomize.py").write_text(CLOCK.format(offset=offset))
    process = busy.warm.start(python_path=str(busy.warm.directory))
    began = time.monotonic()
    for done, jump in ((200, 86400), (500, -2 * 86400), (800, 0)):
        busy.wait_for(done)
        offset.write_text(str(jump))
    result = busy.warm.finish(process)
    assert (result.status, result.report["failed"], result.report["done"]) == (0, 0, len(PAGES))
    assert 0 < result.report["seconds"] <= time.monotonic() - began
    assert busy.nginx.keys() == KEYS


def test_any_interleaving_of_faults_ends_in_the_same_set(busy):
    """Kills, stops, reloads and bursts of errors in a random order; then one run to the end."""
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for _ in range(6):
        process = busy.warm.start()
        time.sleep(moments.uniform(0.2, 0.7))
        fault = moments.choice(["kill", "term", "reload", "burst", "forget"])
        if fault == "reload":
            busy.nginx.reload()
        elif fault == "burst":
            busy.server.everything = "503"
            time.sleep(0.3)
            busy.server.everything = ""
        elif fault == "forget":
            # Somebody removes the state: what is cached is known from the zone.
            kill(process)
            shutil.rmtree(busy.warm.state)
            busy.warm.state.mkdir()
            continue
        kill(process, signal.SIGTERM if fault == "term" else signal.SIGKILL)
    result = busy.warm.run()
    assert (result.status, result.report["failed"]) == (0, 0), f"seed {seed}"
    assert busy.nginx.keys() == KEYS, f"seed {seed}"
