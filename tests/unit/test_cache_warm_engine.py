# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The engine of the warm without a network: a transport that answers from a function, on a clock that jumps."""

from __future__ import annotations

import collections
import dataclasses
import json
import urllib.parse

import pytest

from plugins.module_utils.cache_warm import engine, feed
from plugins.module_utils.cache_warm.answer import Answer
from plugins.module_utils.cache_warm.configuration import Configuration
from plugins.module_utils.cache_warm.engine import Engine, job_name
from plugins.module_utils.cache_warm.journal import Journal
from plugins.module_utils.cache_warm.judge import Judge
from plugins.module_utils.cache_warm.limits import Limits
from plugins.module_utils.cache_warm.sample import Sample
from plugins.module_utils.nginx_cache.zone_files import valid_seconds

PROBE = "/images?since=0&limit=1"
IMAGES = {
    "name": "images",
    "list": "/images",
    "page": {"offset": "since", "count": "limit"},
    "page_size": 10,
    "urls": ["/images/{id}/rendered?width=256", "/images/{id}"],
}
SERIES = {
    "name": "series",
    "list": "/series",
    "page": {"offset": "since", "count": "limit"},
    "page_size": 10,
    "urls": ["/series/{id}"],
    "optional_urls": ["/pyramids/{id}"],
}


def route(name: str, match: str, accept: str, **more) -> dict:
    return {
        "name": name,
        "match": match,
        "zone": name,
        "valid": "365d",
        "arguments": [],
        "argument_patterns": {},
        "request_headers": {"Accept": accept},
        **more,
    }


ROUTES = (
    route(
        "thumbnail", "^/images/[^/]+/rendered$", "image/jpeg", arguments=["width"], argument_patterns={"width": "256"}
    ),
    route("metadata", "^/(images|series|pyramids)/[^/]+$", "application/json"),
)
SETTINGS = Configuration(
    probe=PROBE,
    cannot_draw=(422,),
    routes=ROUTES,
    sources=(IMAGES,),
    concurrency=4,
    attempts=3,
    sample_minimum=0,
    sample_fraction=0.0,
)


def page(path: str, cache: str = "MISS", size_bytes: int = 10) -> Answer:
    """Return a right answer to a path."""
    if "rendered" in path:
        return Answer(200, cache, size_bytes, "", "image/jpeg", start=b"\xff\xd8\xff")
    return Answer(200, cache, size_bytes, "", "application/json; charset=utf-8", start=b"{}")


class FakeTransport:
    """Answers in the order of submission; every request takes 0.1 s of a clock that nobody waits for.

    What was answered MISS or BYPASS is HIT from then on, if the cache does not forget.
    """

    def __init__(self, answer, forgets=False):
        self._answer = answer
        self._forgets = forgets
        self._kept = set()
        self._queue = collections.deque()
        self.now = 0.0
        # (path, whether from the refresh port)
        self.asked = []
        self.asked_at = []
        self.most_in_flight = 0

    @property
    def in_flight(self):
        return len(self._queue)

    def submit(self, token, url, want_body=False, headers=()):
        text = url.decode()
        self._queue.append((token, text.partition("/")[2].partition("/")[2].partition("/")[2], ":8082" in text))
        self.most_in_flight = max(self.most_in_flight, len(self._queue))

    def wait(self, seconds):
        if not self._queue:
            self.now += max(seconds, 0.001)
            return []
        self.now += 0.1
        token, path, refresh = self._queue.popleft()
        path = "/" + path
        self.asked.append((path, refresh))
        self.asked_at.append(self.now)
        answer = self._answer(path, refresh, self.now)
        if answer.status == 200 and not self._forgets:
            if path in self._kept and answer.cache == "MISS":
                answer = answer._replace(cache="HIT")
            if answer.cache in ("MISS", "BYPASS"):
                self._kept.add(path)
        return [(token, answer._replace(seconds=0.1))]


def server(counts, item=lambda path, refresh, now: page(path)):
    """A fake image server with `counts` ids by list, and `item` for the answers to pages."""

    def answer(path, refresh, now):
        parts = urllib.parse.urlsplit(path)
        if parts.path in counts and parts.query:
            query = dict(urllib.parse.parse_qsl(parts.query))
            since, limit = int(query["since"]), int(query["limit"])
            ids = [f"id-{number}" for number in range(counts[parts.path])][since : since + limit]
            return Answer(200, "BYPASS", body=json.dumps(ids).encode())
        return item(path, refresh, now)

    return answer


@pytest.fixture
def run(tmp_path):
    """Return run(answer, **settings) -> (report, transport); the journal stays from one run to the next."""

    def run(
        answer, *, refresh=False, limits=None, sampled=False, forgets=False, transport_class=FakeTransport, **settings
    ):
        transport = transport_class(answer, forgets)
        configuration = dataclasses.replace(SETTINGS, **settings)
        with Journal(str(tmp_path), job_name(configuration, refresh)) as journal:
            sample = Sample(str(tmp_path / "sample"), journal.resumed) if sampled else None
            engine = Engine(
                configuration,
                transport,
                journal,
                refresh=refresh,
                limits=limits,
                sample=sample,
                clock=lambda: transport.now,
            )
            report = engine.run()
            if not report.stopped:
                journal.complete()
        return report, transport

    return run


def items(transport):
    """Return the pages that were asked for, each once: once a second, one is asked for again."""
    return list(dict.fromkeys(path for path, _ in transport.asked if "since=" not in path))


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


def test_temporary_answers_are_tried_again(run):
    seen = collections.Counter()

    def item(path, refresh, now):
        seen[path] += 1
        return {1: Answer(503), 2: Answer(0, error="time-out")}.get(seen[path], page(path))

    report, _ = run(server({"/images": 5}, item))
    assert (report.outcomes["miss"], report.outcomes["failed"], report.retries) == (10, 0, 20)


def test_attempts_end(run):
    report, _ = run(server({"/images": 2}, lambda path, refresh, now: Answer(500)))
    assert (report.outcomes["failed"], report.retries, report.coverage) == (4, 8, 0.0)
    (failure,) = report.as_dict()["failures"]
    assert (failure["cause"], failure["count"]) == ("HTTP 500", 4)


def test_missing_is_a_failure_at_once_except_where_it_is_ordinary(run):
    report, _ = run(server({"/series": 3}, lambda path, refresh, now: Answer(404)), sources=(SERIES,))
    assert (report.outcomes["failed"], report.outcomes["absent"], report.retries, report.coverage) == (3, 3, 0, 0.5)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(302), "HTTP 302, a redirect, which nginx does not keep"),
        (page("/a", cache=""), "nginx does not keep it (X-Cache-Status: none)"),
        (page("/a", cache="STALE"), "an old copy, because the image servers fail (STALE)"),
        (page("/a", cache="UPDATING"), "an old copy, because the image servers fail (UPDATING)"),
        (Answer(200, "MISS", 10, "", "text/html", start=b"<html>"), "text/html instead of application/json"),
        (Answer(200, "HIT", 10, "", "application/json", start=b"<html>"), "an answer that says it is JSON and is none"),
        (Answer(200, "HIT", 0, "", "application/json"), "an empty answer"),
    ],
)
def test_only_what_nginx_keeps_is_warm(run, answer, cause):
    report, _ = run(
        server({"/series": 1}, lambda path, refresh, now: answer), sources=({**SERIES, "optional_urls": []},)
    )
    assert report.failures == {cause: {"count": 1, "examples": ["/series/id-0"]}}


def test_a_wrong_page_is_asked_for_where_the_cache_is_not(run):
    def item(path, refresh, now):
        return page(path, "BYPASS") if refresh else Answer(200, "HIT", 9, "", "text/html", start=b"<html>")

    report, transport = run(server({"/series": 1}, item), sources=({**SERIES, "optional_urls": []},))
    assert transport.asked[-2:] == [("/series/id-0", False), ("/series/id-0", True)]
    assert (report.outcomes["miss"], report.outcomes["failed"]) == (1, 0)


def test_genuine_422_is_unsupported_after_two_looks_at_the_server(run):
    def item(path, refresh, now):
        return Answer(422) if path.startswith("/images/id-1/rendered") else page(path, "HIT")

    report, transport = run(server({"/images": 3}, item))
    assert (report.outcomes["hit"], report.outcomes["unsupported"], report.outcomes["failed"]) == (5, 1, 0)
    assert report.unsupported_examples == ["/images/id-1/rendered?width=256"] and report.coverage == 1.0
    # The second time past the cache, which remembers for a moment what a visitor met.
    asked = [refresh for path, refresh in transport.asked if path == "/images/id-1/rendered?width=256"]
    assert asked == [False, True]


def test_a_status_means_nothing_that_the_policy_does_not_say(run):
    def item(path, refresh, now):
        return Answer(422) if path.startswith("/images/id-1/rendered") else page(path, "HIT")

    report, _ = run(server({"/images": 3}, item), cannot_draw=())
    assert (report.outcomes["unsupported"], report.outcomes["failed"]) == (0, 1)
    assert list(report.failures) == ["HTTP 422"]


def test_optional_422_is_absent(run):
    def item(path, refresh, now):
        return Answer(422) if "pyramids" in path else page(path, "HIT")

    report, _ = run(server({"/series": 3}, item), sources=(SERIES,))
    assert (report.outcomes["hit"], report.outcomes["absent"], report.outcomes["unsupported"]) == (3, 3, 0)


@pytest.mark.parametrize("probe_while_down", [Answer(503), Answer(200, "STALE")])
def test_422_of_a_database_that_is_away_is_not_believed(run, probe_while_down):
    up = server({"/images": 20})

    def answer(path, refresh, now):
        if 3.0 < now < 9.0:
            return probe_while_down if refresh else Answer(422) if "rendered" in path else Answer(503)
        return up(path, refresh, now)

    report, _ = run(answer, attempts=6)
    assert (report.outcomes["miss"], report.outcomes["unsupported"], report.outcomes["failed"]) == (40, 0, 0)


def test_nobody_answers(run):
    report, _ = run(lambda path, refresh, now: Answer(0, error="connection refused"))
    assert report.stopped == (
        "/images?since=0&limit=10: connection refused after 6 attempts; see to nginx on the "
        "cache host and to the image servers, then run the warm again"
    )


def test_old_list_is_not_believed(run):
    report, _ = run(lambda path, refresh, now: Answer(200, "STALE", body=b"[]"))
    assert "an old copy, because the image servers fail (STALE) after 6 attempts" in report.stopped


def test_gives_up_when_all_fail_but_not_for_missing_images(run):
    report, _ = run(server({"/images": 500}, lambda path, refresh, now: Answer(502)))
    assert 50 <= report.outcomes["failed"] <= 50 + SETTINGS.concurrency
    assert "50 pages in a row failed, the last one with: HTTP 502" in report.stopped
    report, _ = run(server({"/images": 500}, lambda path, refresh, now: Answer(403)))
    assert (report.outcomes["failed"], report.stopped) == (1000, "")


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


def test_retry_after_429_stops_everybody(run):
    refused = []

    def item(path, refresh, now):
        if now > 2.0 and not refused:
            refused.append(now)
            return Answer(429, retry_after="30")
        return page(path)

    report, transport = run(server({"/images": 200}, item))
    assert report.outcomes["miss"] == 400
    # What was in flight came in; then nobody asked for half a minute.
    assert not [when for when in transport.asked_at if refused[0] + 1 < when < refused[0] + 29]


def test_retry_after_of_one_page_stops_only_that_page(run):
    seen = collections.Counter()

    def item(path, refresh, now):
        seen[path] += 1
        return Answer(503, retry_after="20") if path == "/images/id-3" and seen[path] == 1 else page(path)

    report, transport = run(server({"/images": 50}, item))
    assert report.outcomes["miss"] == 100
    first, second = (
        when for (path, _), when in zip(transport.asked, transport.asked_at, strict=True) if path == "/images/id-3"
    )
    assert second - first >= 20
    assert len([when for when in transport.asked_at if first < when < first + 15]) > 50


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


def test_sample_is_asked_again_and_must_be_hit(run):
    kept = set()

    def item(path, refresh, now):
        if path in kept:
            return page(path, "HIT")
        if "id-7" not in path:
            kept.add(path)
        return page(path, "MISS")

    report, _ = run(server({"/images": 30}, item), sampled=True, sample_minimum=1000, forgets=True)
    examples = report.sample.pop("examples")
    assert report.sample == {"asked": 60, "hit": 58, "other": {"MISS": 2}} and len(examples) == 2
    report.sample["examples"] = examples
    assert "2 of 60 pages asked again were not answered from the cache (2 x MISS" in report.problem(0.99)


def test_sample_is_at_least_what_was_asked_for(run):
    report, _ = run(server({"/images": 1500}), sampled=True, sample_fraction=0.1)
    assert 300 <= report.sample["asked"] < 500


def test_sample_leaves_out_what_is_fresh_for_seconds_only(run):
    routes = tuple({**entry, "valid": "1s"} if entry["name"] == "metadata" else entry for entry in ROUTES)
    report, _ = run(server({"/images": 30}), sampled=True, sample_minimum=1000, routes=routes)
    assert report.sample["asked"] == 30


def test_notices_that_nginx_keeps_nothing(run):
    report, _ = run(server({"/images": 2000}), sampled=True, forgets=True)
    assert report.stopped.startswith("nginx does not keep what it fetches: 10 pages of zone ")
    assert report.outcomes["miss"] < 1000


@pytest.mark.parametrize(
    ("text", "seconds"), [("365d", 31536000), ("10s", 10), ("1h30m", 5400), ("90", 90), ("500ms", 0.5)]
)
def test_times_of_nginx(text, seconds):
    assert valid_seconds(text) == seconds


@pytest.mark.parametrize(
    ("accept", "content_type", "right"),
    [
        ("image/jpeg", "image/jpeg", True),
        ("image/jpeg", "Image/JPEG; x=y", True),
        ("image/jpeg", "text/html", False),
        ("image/*", "image/jpeg", True),
        ("image/*", "imaginary/jpeg", False),
        ("", "text/html", True),
        ("*/*", "", True),
        ("application/json, text/plain;q=0.5", "text/plain", True),
        ("application/json", "", False),
    ],
)
def test_content_type_is_what_the_route_demands(accept, content_type, right):
    judge = Judge(({"name": "a", "request_headers": {"accept": accept}},))
    answer = Answer(200, "HIT", 4, "", content_type, start=b"\xff\xd8\xff\xe0")
    assert (judge.wrong("a", answer) == "") is right


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
