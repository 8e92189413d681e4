"""The warm engine without a network: a transport that answers from a function, on a clock that jumps."""
from __future__ import annotations

import collections
import itertools
import json
import urllib.parse

import pytest

from plugins.module_utils import warm
from plugins.module_utils.warm import (Answer, Concurrency, Engine, Item, Journal, Limits, Pages, Report, Source,
                                       WarmError)

PROBE = "/images?since=0&limit=1"
IMAGES = Source("images", "/images", 10, ("/images/{id}/rendered?width=256", "/images/{id}"))
SERIES = Source("series", "/series", 10, ("/series/{id}",), ("/pyramids/{id}",))
NO_PAUSE = Limits(concurrency=4, attempts=3, first_pause_seconds=0.5)


class FakeTransport:
    """Answers in the order of submission; every request takes 0.1 s of a clock that nobody waits for."""

    def __init__(self, answer):
        self._answer = answer
        self._queue = collections.deque()
        self.now = 0.0
        self.asked = []
        self.most_in_flight = 0

    @property
    def in_flight(self):
        return len(self._queue)

    def submit(self, token, path, refresh, want_body):
        self._queue.append((token, path, refresh))
        self.most_in_flight = max(self.most_in_flight, len(self._queue))

    def wait(self, seconds):
        if not self._queue:
            self.now += max(seconds, 0.001)
            return []
        self.now += 0.1
        token, path, refresh = self._queue.popleft()
        self.asked.append((path, refresh))
        return [(token, self._answer(path, refresh, self.now))]

    def sleep(self, seconds):
        self.now += seconds


def server(counts, item=lambda path, refresh, now: Answer(200, "MISS", 10)):
    """A fake image server with `counts` ids by list, and `item` for the answers to URLs."""
    def answer(path, refresh, now):
        parts = urllib.parse.urlsplit(path)
        if parts.path in counts and parts.query:
            query = dict(urllib.parse.parse_qsl(parts.query))
            since, limit = int(query["since"]), int(query["limit"])
            ids = [f"id-{number}" for number in range(counts[parts.path])][since:since + limit]
            return Answer(200, "BYPASS", body=json.dumps(ids).encode())
        return item(path, refresh, now)
    return answer


def run(answer, sources=(IMAGES,), limits=NO_PAUSE, total=None, **options):
    transport = FakeTransport(answer)
    engine = Engine(transport, list(sources), probe=PROBE, limits=limits, clock=lambda: transport.now,
                    sleep=transport.sleep, **options)
    return engine.run(total), transport, engine


def test_source_from_the_policy():
    source = Source.from_policy({"name": "series", "list": "/series", "page_size": 10, "urls": ["/series/{id}"],
                                 "optional_urls": ["/pyramids/{id}"]})
    assert source == SERIES
    assert list(source.items(["a/b"])) == [Item("/series/a%2Fb", "series"), Item("/pyramids/a%2Fb", "series", True)]
    assert source.page_path(20) == "/series?since=20&limit=10"


@pytest.mark.parametrize("text", [b"{}", b"<html>", b"[1]", b""])
def test_page_that_is_no_list(text):
    with pytest.raises(WarmError, match="no JSON list of ids"):
        Pages(IMAGES).accept(text)


def test_list_that_ignores_paging_is_no_endless_loop():
    pages = Pages(IMAGES)
    pages.accept(b'["a"]')
    with pytest.raises(WarmError, match="ignores since and limit"):
        pages.accept(b'["a"]')


def test_everything_is_fetched_once():
    report, transport, _ = run(server({"/images": 35}))
    urls = [path for path, refresh in transport.asked if not refresh]
    assert sorted(urls) == sorted(f"/images/id-{n}{end}" for n in range(35) for end in ("", "/rendered?width=256"))
    assert (report.cached, report.added, report.done, report.coverage, report.stopped) == (70, 70, 70, 1.0, "")
    assert report.as_dict()["bytes"] == 700


def test_front_page_comes_first():
    text = b'{"studies": [{"thumbnail": "/images/a/preview"}, {"thumbnail": ""}, {"thumbnail": "/images/id-0"}]}'
    report, transport, engine = run(server({"/images": 3}), first=warm.front_page(text))
    urls = [path for path, refresh in transport.asked if not refresh]
    assert urls[:2] == ["/images/a/preview", "/images/id-0"] and len(urls) == 2 + 3 * 2
    assert report.done == engine.count() == 8


@pytest.mark.parametrize("text", [b"", b"[]", b'{"studies": [{}]}', b'{"studies": null}'])
def test_a_catalogue_that_is_none_is_named(text):
    with pytest.raises(WarmError, match="run load.yml"):
        warm.front_page(text)


def test_count_reads_only_lists():
    transport = FakeTransport(server({"/images": 35, "/series": 3}))
    assert Engine(transport, [IMAGES, SERIES], probe=PROBE).count() == 35 * 2 + 3 * 2
    assert all(refresh for path, refresh in transport.asked)


def test_empty_site():
    report, _, _ = run(server({"/images": 0}), total=0)
    assert (report.done, report.coverage, report.stopped) == (0, 1.0, "")


def test_memory_is_bounded_by_the_page():
    waiting = []

    class Watch:
        def update(self, *unused, **also_unused):
            waiting.append(len(engine._ready))

    transport = FakeTransport(server({"/images": 2000}))
    engine = Engine(transport, [IMAGES], probe=PROBE, limits=NO_PAUSE, progress=Watch(), clock=lambda: transport.now)
    assert engine.run().cached == 4000
    assert max(waiting) <= 10 + 2 * 10


def test_waiting_retries_are_bounded():
    report, transport, engine = run(
        server({"/images": 5000}, lambda path, refresh, now: Answer(503)),
        limits=Limits(concurrency=2, give_up_after=10**9))
    assert report.failed == 10000
    # The next assertion would be the size of the site without a bound.
    assert engine._waiting() == 0
    assert report.failures["HTTP 503"]["count"] == 10000
    assert len(report.failures["HTTP 503"]["examples"]) == 10


def test_concurrency_is_bounded():
    _, transport, _ = run(server({"/images": 200}))
    assert transport.most_in_flight == 4


def test_concurrency_halves_and_grows_slowly():
    concurrency = Concurrency(Limits(concurrency=16))
    assert concurrency.allowed == 8
    concurrency.note(True, 0.0)
    concurrency.note(True, 0.5)
    assert concurrency.allowed == 4
    concurrency.note(True, 1.0)
    concurrency.note(True, 2.0)
    concurrency.note(True, 3.0)
    assert concurrency.allowed == 1
    for _ in range(8):
        concurrency.note(False, 4.0)
    assert concurrency.allowed == 2
    for _ in range(10000):
        concurrency.note(False, 4.0)
    assert concurrency.allowed == 16


def test_temporary_answers_are_tried_again():
    seen = collections.Counter()

    def item(path, refresh, now):
        seen[path] += 1
        return {1: Answer(503), 2: Answer(0, error="time-out")}.get(seen[path], Answer(200, "MISS"))

    report, _, _ = run(server({"/images": 5}, item))
    assert (report.cached, report.failed, report.retries) == (10, 0, 20)


def test_attempts_end():
    report, _, _ = run(server({"/images": 2}, lambda path, refresh, now: Answer(500)))
    assert (report.failed, report.retries, report.coverage) == (4, 8, 0.0)
    failure, = report.as_dict()["failures"]
    assert (failure["cause"], failure["count"]) == ("HTTP 500", 4)
    assert sorted(failure["examples"]) == sorted(
        f"/images/id-{n}{end}" for n in range(2) for end in ("", "/rendered?width=256"))


def test_missing_is_a_failure_at_once_except_where_it_is_ordinary():
    report, transport, _ = run(server({"/series": 3}, lambda path, refresh, now: Answer(404)), [SERIES])
    assert (report.failed, report.absent, report.retries) == (3, 3, 0)
    assert report.coverage == 0.5


def test_genuine_415_is_unsupported_after_two_looks_at_the_server():
    def item(path, refresh, now):
        return Answer(415) if "rendered" in path and path.startswith("/images/id-1/") else Answer(200, "HIT")

    report, transport, _ = run(server({"/images": 3}, item))
    assert (report.cached, report.unsupported, report.failed, report.coverage) == (5, 1, 0, 1.0)
    assert report.unsupported_examples == ["/images/id-1/rendered?width=256"]
    assert [path for path, _ in transport.asked].count("/images/id-1/rendered?width=256") == 2


def test_optional_415_is_absent():
    def item(path, refresh, now):
        return Answer(415) if "pyramids" in path else Answer(200, "HIT")

    report, _, _ = run(server({"/series": 3}, item), [SERIES])
    assert (report.cached, report.absent, report.unsupported) == (3, 3, 0)


@pytest.mark.parametrize("probe_while_down", [Answer(503), Answer(200, "STALE")])
def test_415_of_a_database_that_is_away_is_not_believed(probe_while_down):
    up = server({"/images": 20})

    def answer(path, refresh, now):
        if 1.0 < now < 8.0:
            return probe_while_down if refresh else Answer(415) if "rendered" in path else Answer(503)
        return up(path, refresh, now)

    report, _, _ = run(answer, limits=Limits(concurrency=4))
    assert (report.cached, report.unsupported, report.failed) == (40, 0, 0)


def test_nobody_answers():
    report, transport, _ = run(lambda path, refresh, now: Answer(0, error="connection refused"))
    assert report.stopped == ("/images?since=0&limit=10: connection refused after 6 attempts; see to nginx on the "
                              "cache host and to the image servers, then run the warm again")


def test_old_list_is_not_believed():
    report, _, _ = run(lambda path, refresh, now: Answer(200, "STALE", body=b"[]"))
    assert "an old copy, because the image servers fail (STALE) after 6 attempts" in report.stopped


def test_gives_up_when_all_fail_but_not_for_missing_images():
    report, _, _ = run(server({"/images": 500}, lambda path, refresh, now: Answer(502)))
    assert 50 <= report.failed <= 50 + NO_PAUSE.concurrency
    assert "50 URLs in a row failed" in report.stopped
    report, _, _ = run(server({"/images": 500}, lambda path, refresh, now: Answer(403)))
    assert (report.failed, report.stopped) == (1000, "")


def test_stop_is_honest_about_what_is_missing():
    class StopAt:
        def update(self, done, failed, **unused):
            if done == 30:
                engine.stop("SIGTERM")

    transport = FakeTransport(server({"/images": 50}))
    engine = Engine(transport, [IMAGES], probe=PROBE, limits=NO_PAUSE, progress=StopAt(), clock=lambda: transport.now)
    report = engine.run(total=100)
    assert (report.stopped, report.cached, report.coverage) == ("SIGTERM", 30, 0.3)


def test_refresh_goes_to_the_refresh_port():
    report, _, _ = run(server({"/series": 2}, lambda path, refresh, now: Answer(200, "BYPASS" if refresh else "HIT")),
                       [Source("series", "/series", 10, ("/series/{id}",), refresh=True)])
    assert report.by_cache_status == {"BYPASS": 2}
    assert report.added == 0


def test_refresh_does_not_take_an_old_copy():
    report, _, _ = run(server({"/series": 1}, lambda path, refresh, now: Answer(200, "STALE")),
                       [Source("series", "/series", 10, ("/series/{id}",), refresh=True)])
    assert report.failures == {"an old copy, because the image servers fail (STALE)":
                               {"count": 1, "examples": ["/series/id-0"]}}


def test_journal_is_asked_and_told():
    class Half(Journal):
        told = []

        def skip(self, item):
            return "rendered" in item.path

        def finished(self, item, outcome):
            self.told.append((item.path, outcome))

    report, transport, _ = run(server({"/images": 2}), journal=Half())
    assert (report.skipped, report.cached, report.coverage) == (2, 2, 1.0)
    assert sorted(Half.told) == [("/images/id-0", "cached"), ("/images/id-1", "cached")]


def test_added_counts_what_was_not_cached():
    report = Report()
    for status in ("HIT", "MISS", "EXPIRED", "STALE", "BYPASS", ""):
        report.note(Item("/a", "s"), Answer(200, status), "cached")
    assert (report.added, report.as_dict()["refreshed"]) == (3, 1)


def test_pause_doubles_up_to_a_limit():
    pauses = [Limits().pause_seconds(attempt) for attempt in range(1, 12)]
    assert all(0.75 * want <= pause <= want for pause, want in
               zip(pauses, itertools.chain((0.5, 1, 2, 4, 8), itertools.repeat(15)), strict=False))


def test_without_pycurl_the_package_is_named(monkeypatch):
    monkeypatch.setattr(warm, "pycurl", None)
    with pytest.raises(WarmError, match="python3-pycurl"):
        warm.Transport("http://127.0.0.1:1", "http://127.0.0.1:1", concurrency=1)
