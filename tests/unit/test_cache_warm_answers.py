# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the engine of the warm makes of answers: what is warm, what has failed, and what is asked for again."""

from __future__ import annotations

import collections

import pytest
from cache_warm_engine_samples import SERIES, SETTINGS, page, runner, server

from plugins.module_utils.cache_warm.answer import Answer
from plugins.module_utils.cache_warm.judge import Judge


@pytest.fixture
def run(tmp_path):
    return runner(tmp_path)


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
