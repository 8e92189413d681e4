# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A transport that answers from a function, on a clock that jumps, for the tests of the warm's engine."""

from __future__ import annotations

import collections
import dataclasses
import json
import urllib.parse

from plugins.module_utils.cache_warm.answer import Answer
from plugins.module_utils.cache_warm.configuration import Configuration
from plugins.module_utils.cache_warm.engine import Engine, job_name
from plugins.module_utils.cache_warm.journal import Journal
from plugins.module_utils.cache_warm.sample import Sample

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


def runner(tmp_path):
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
