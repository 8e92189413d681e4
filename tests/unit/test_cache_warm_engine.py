# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The engine of the warm without a network: what is fetched, how much at once, and where it goes on."""

from __future__ import annotations

import collections
import dataclasses

import pytest
from cache_warm_engine_samples import IMAGES, SERIES, SETTINGS, FakeTransport, items, page, runner, server

from plugins.module_utils.cache_warm import engine, feed
from plugins.module_utils.cache_warm.answer import Answer
from plugins.module_utils.cache_warm.engine import Engine, job_name
from plugins.module_utils.cache_warm.limits import Limits


@pytest.fixture
def run(tmp_path):
    return runner(tmp_path)


def test_everything_is_fetched_once(run):
    report, transport = run(server({"/images": 35}))
    wanted = [f"/images/id-{number}{end}" for number in range(35) for end in ("", "/rendered?width=256")]
    assert sorted(items(transport)) == sorted(wanted)
    assert (report.outcomes["miss"], report.done, report.total, report.coverage) == (70, 70, 70, 1.0)
    assert report.stopped == ""
    assert report.size_bytes == 700


def test_sources_are_warmed_by_priority(run):
    report, transport = run(server({"/images": 3, "/series": 3}), sources=(IMAGES, {**SERIES, "priority": 1}))
    assert items(transport)[0] == "/series/id-0" and items(transport)[-1].startswith("/images/")
    assert report.done == 12


def test_lists_are_read_where_they_are_fresh(run):
    _, transport = run(server({"/images": 35}))
    assert all(refresh for path, refresh in transport.asked if "since=" in path)


def test_pages_that_share_a_key_are_one_request(run, tmp_path):
    (tmp_path / "urls").write_text("/images/a\n/images//a\n/images/a?_=12\n/images/b/../a\n")
    report, transport = run(server({}), sources=({"name": "urls", "kind": "urls", "file": str(tmp_path / "urls")},))
    assert items(transport) == ["/images/a"]
    assert (report.outcomes["miss"], report.outcomes["skipped"], report.done, report.total) == (1, 3, 4, 4)


def test_what_no_route_serves_fails_but_not_in_a_log(run, tmp_path):
    (tmp_path / "urls").write_text("/images/a\n/elsewhere\n")
    report, _transport = run(server({}), sources=({"name": "urls", "kind": "urls", "file": str(tmp_path / "urls")},))
    assert report.failures == {feed.UNSERVED: {"count": 1, "examples": ["/elsewhere"]}}
    (tmp_path / "map.xml").write_text(
        "<urlset><url><loc>http://a/images/a</loc></url><url><loc>http://a/</loc></url></urlset>"
    )
    report, _ = run(server({}), sources=({"name": "map", "kind": "sitemap", "path": str(tmp_path / "map.xml")},))
    assert (report.done, report.total, report.outcomes["failed"]) == (1, 1, 0)


def test_shares_are_disjoint_and_whole(run):
    asked = []
    for index in range(3):
        report, transport = run(server({"/images": 50}), share={"index": index, "count": 3})
        assert report.done == report.total == len(items(transport))
        asked += items(transport)
    assert len(asked) == len(set(asked)) == 100


def test_empty_site(run):
    report, _ = run(server({"/images": 0}))
    assert (report.done, report.coverage, report.stopped) == (0, 1.0, "")


def test_memory_is_bounded_by_a_batch(run, monkeypatch):
    waiting = []
    tell = Engine._tell
    monkeypatch.setattr(Engine, "_tell", lambda engine: (waiting.append(len(engine._queue.ready)), tell(engine)))
    report, _ = run(server({"/images": 4000}))
    assert report.outcomes["miss"] == 8000
    assert max(waiting) <= 2 * feed.BATCH_SIZE


def test_waiting_retries_are_bounded(run, monkeypatch):
    waiting = []
    tell = Engine._tell
    monkeypatch.setattr(Engine, "_tell", lambda engine: (waiting.append(engine._waiting()), tell(engine)))
    report, _ = run(
        server({"/images": 2000}, lambda path, refresh, now: Answer(503)),
        concurrency=2,
        attempts=6,
        limits=Limits(give_up_after=10**9),
    )
    assert report.outcomes["failed"] == 4000
    assert max(waiting) <= Engine.waiting_per_slot * 2 + feed.BATCH_SIZE
    assert report.failures["HTTP 503"]["count"] == 4000 and len(report.failures["HTTP 503"]["examples"]) == 20


def test_concurrency_is_bounded(run):
    _, transport = run(server({"/images": 200}))
    assert transport.most_in_flight == 4


def test_ceiling_of_a_route(run):
    in_flight = collections.Counter()
    most = collections.Counter()

    class Watch(FakeTransport):
        def submit(self, token, url, want_body=False, headers=()):
            super().submit(token, url, want_body, headers)
            in_flight[token.route] += 1
            most[token.route] = max(most[token.route], in_flight[token.route])

        def wait(self, seconds):
            answers = super().wait(seconds)
            in_flight.subtract(token.route for token, _ in answers)
            return answers

    report, _ = run(server({"/images": 100}), transport_class=Watch, concurrency=8, route_concurrency={"thumbnail": 2})
    assert most["thumbnail"] == 2 and most["metadata"] > 2
    assert report.outcomes["miss"] == 200


def test_a_run_goes_on_where_the_last_one_stopped(run):
    # An hour of 502 from the 700th request on.
    asked = []

    def failing(path, refresh, now):
        asked.append(path)
        return page(path) if len(asked) < 700 else Answer(502)

    first, _ = run(server({"/images": 500}, failing))
    assert first.stopped and 0 < first.outcomes["miss"] < 1000
    second, transport = run(server({"/images": 500}))
    assert second.resumed and (second.done, second.total, second.outcomes["failed"]) == (1000, 1000, 0)
    # Neither counted again nor begun at the first page of the list, and nothing asked for that was answered.
    assert len(items(transport)) <= 1000 - first.outcomes["miss"] + SETTINGS.concurrency
    assert "/images?since=0&limit=10" not in [path for path, _ in transport.asked]
    assert set(items(transport)).isdisjoint(asked[: first.outcomes["miss"] // 2])


class Killed(BaseException):
    """The process ends here: nothing more is said or asked for."""


def test_what_a_full_zone_left_is_not_passed_by_a_kill(run, tmp_path):
    """Killed after it had left pages, the job goes on with them: they are never counted as done."""
    # Room for about 250 of the 700 thumbnails of 8 KiB on disk; the metadata has room enough.
    zones = [
        {"name": name, "directory": str(tmp_path / name), "max_size_mib": size_mib}
        for name, size_mib in (("thumbnail", 2), ("metadata", 50))
    ]
    stored = set()

    def kept(path, refresh, now):
        if "rendered" in path:
            # What nginx would write, because the zone is measured.
            number = int(path.split("/")[2].removeprefix("id-"))
            leaf = tmp_path / "thumbnail" / f"{number % 16:x}" / f"{number // 16:02x}"
            leaf.mkdir(parents=True, exist_ok=True)
            (leaf / f"{number:032x}").write_bytes(bytes(5000))
            stored.add(number)
        return page(path, size_bytes=5000)

    class KilledTransport(FakeTransport):
        def wait(self, seconds):
            if len(self._kept) >= 850:
                raise Killed
            return super().wait(seconds)

    with pytest.raises(Killed):
        run(server({"/images": 700}, kept), zones=tuple(zones), transport_class=KilledTransport)
    assert len(stored) < 300
    zones[0]["max_size_mib"] = 50
    second, _ = run(server({"/images": 700}, kept), zones=tuple(zones))
    assert second.resumed and not second.stopped
    assert len(stored) == 700, f"{700 - len(stored)} pages are missing"
    assert (second.done, second.total, second.outcomes["left"]) == (1400, 1400, 0)


def test_stop_takes_what_is_in_flight(run, monkeypatch):
    def stopping(engine):
        if engine.report.done >= 30:
            engine.stop("SIGTERM")

    monkeypatch.setattr(Engine, "_tell", stopping)
    report, transport = run(server({"/images": 500}))
    assert report.stopped == "SIGTERM" and transport.in_flight == 0
    assert report.outcomes["miss"] == len(items(transport)) < 1000
    assert report.coverage == report.done / 1000


def test_refresh_goes_to_the_refresh_port(run):
    def item(path, refresh, now):
        return page(path, "BYPASS" if refresh else "HIT")

    report, _ = run(server({"/series": 2}, item), sources=({**SERIES, "refresh": True},))
    assert report.outcomes["refreshed"] == 4
    report, _ = run(server({"/images": 2}, item), refresh=True)
    assert report.outcomes["refreshed"] == 4
    report, _ = run(server({"/images": 2}, item))
    assert report.outcomes["hit"] == 4


def test_waits_for_its_window(run, monkeypatch):
    class Closed:
        def __init__(self, windows):
            self.looks = 0

        def opens(self):
            self.looks += 1
            return "22:30" if self.looks < 100 else ""

    monkeypatch.setattr(engine, "Windows", Closed)
    report, transport = run(server({"/images": 5}))
    assert report.outcomes["miss"] == 10
    assert min(transport.asked_at) > 90


def test_job_is_another_one_where_another_set_is_warmed():
    names = {
        job_name(settings, refresh)
        for settings in (
            SETTINGS,
            dataclasses.replace(SETTINGS, sources=(SERIES,)),
            dataclasses.replace(SETTINGS, share={"index": 0, "count": 2}),
        )
        for refresh in (False, True)
    }
    assert len(names) == 6
    # How fast it goes is not what it is.
    assert job_name(dataclasses.replace(SETTINGS, concurrency=2), False) == job_name(SETTINGS, False)
