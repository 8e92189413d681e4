# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is fetched when, and what an answer means.

One thread. Items flow from the sources through `_feed` (which of them need a request?) to `_ready`, into flight, and
through `_page` (what does the answer mean?) to the journal and the report, or to `_later` for another attempt. A source
that needs a list asks for it by `fetch`, which keeps the pages of the list before in flight meanwhile.

A page counts as warm only when nginx has said that it keeps it: X-Cache-Status HIT, or MISS, EXPIRED or BYPASS with a
whole answer of the right kind, status 200. In the end a sample of them is asked for again, and must be HIT.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import heapq
import itertools
import json
import operator
import random
import re
import time
from collections.abc import Callable, Iterator

from . import sources as source_kinds
from .configuration import Configuration
from .items import Item
from .journal import FAILED, Journal, JournalError, fingerprint
from .keys import Routes
from .pace import Concurrency, Room, Visitors, Windows, percentile
from .report import MAX_EXAMPLES, Report
from .sources import NotFound, SourceError
from .status import Status
from .transport import CONNECTION_REFUSED, Answer, TransportError, retry_after_seconds
from .zones import Zone, cached

# Answers that say "not now".
OVERLOADED = frozenset({0, 408, 429, 502, 503, 504})
# X-Cache-Status of an answer that the cache gave because the image servers could not, or not yet.
STALE = frozenset({"STALE", "UPDATING"})
# X-Cache-Status of an answer that nginx keeps from now on (or, REVALIDATED, has kept), and what the page came to.
KEPT = {"HIT": "hit", "REVALIDATED": "hit", "MISS": "miss", "EXPIRED": "miss", "BYPASS": "refreshed"}
# Beginnings of images; an error page under their content type begins otherwise.
MAGIC = {
    "image/jpeg": (b"\xff\xd8",),
    "image/png": (b"\x89PNG",),
    "image/gif": (b"GIF8",),
    "image/webp": (b"RIFF",),
    "image/tiff": (b"II", b"MM"),
}
UNSERVED = "no route of the cache policy serves it"
# Kinds of sources that name pages which were never meant for the image servers.
LOOSE_KINDS = frozenset({"access_log", "sitemap"})
# Under these names the journal keeps what is no source's cursor; a source cannot have an empty name.
_TOTALS = ""


class Stopped(Exception):
    """The warm cannot go on; the text says what happened and what to do."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How the engine waits. Times in seconds."""

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    # While nobody listens, a restart is likely: it takes longer than an overload.
    refused_pause_seconds: float = 2.0
    # What Retry-After may ask for at most.
    longest_retry_after_seconds: float = 600.0
    # So many pages in a row that failed for good: nobody is there, and asking for the rest helps nobody.
    give_up_after: int = 50
    # So many pages in a row that nginx said it keeps, and a moment later did not.
    lost_after: int = 10

    def pause_seconds(self, attempt: int, refused: bool = False) -> float:
        """Return how long to wait after the failed attempt number `attempt` (from 1): doubling, with jitter."""
        first = self.refused_pause_seconds if refused else self.first_pause_seconds
        return min(first * 2 ** (attempt - 1), self.longest_pause_seconds) * random.uniform(0.75, 1.0)


@dataclasses.dataclass(slots=True)
class _Segment:
    """A stretch of a source: when all of its pages are finished, the source may be resumed at its cursor.

    A page that is left because its zone is full stays unfinished: who resumes this job meets it again.
    """

    source: str
    cursor: object = None
    unfinished: int = 0


class _Task:
    """A request on its way through the engine. `handle` is told the answer."""

    __slots__ = (
        "answer",
        "attempt",
        "handle",
        "headers",
        "item",
        "page",
        "refused",
        "route",
        "segment",
        "url",
        "want_body",
        "zone",
    )

    def __init__(
        self,
        handle,
        url: bytes,
        item: Item | None = None,
        page: int = 0,
        route: str = "",
        zone: str = "",
        segment: _Segment | None = None,
        headers: tuple[str, ...] = (),
        want_body: bool = False,
    ):
        self.handle = handle
        self.url = url
        self.item = item
        self.page = page
        self.route = route
        self.zone = zone
        self.segment = segment
        self.headers = headers
        self.want_body = want_body
        self.attempt = 1
        # How often it was answered a status of `cannot_draw` while the image servers were well.
        self.refused = 0
        self.answer: Answer | None = None


def job_name(settings: Configuration, refresh: bool) -> str:
    """Return what identifies a job in the journal: whatever changes which pages there are, or what done means."""
    parts = [settings.sources, settings.routes, settings.share, settings.readers, refresh, settings.cannot_draw]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def valid_seconds(text: str) -> float:
    """Return a time of nginx's configuration, such as 365d or 1h30m, in seconds (src/core/ngx_parse.c)."""
    units = {
        "": 1,
        "ms": 0.001,
        "s": 1,
        "m": 60,
        "h": 3600,
        "d": 86400,
        "w": 7 * 86400,
        "M": 30 * 86400,
        "y": 365 * 86400,
    }
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) *(ms|[smhdwMy]|)", text))


class Judge:
    """Tells the right answer of a route from another that also has status 200."""

    def __init__(self, routes: tuple[dict, ...]):
        self._accepts = {
            route["name"]: next(
                (value for name, value in route.get("request_headers", {}).items() if name.lower() == "accept"), ""
            )
            for route in routes
        }
        # What was found, by route and Content-Type: the cause of a failure and the beginnings that are right.
        self._known: dict[tuple[str, str], tuple[str, tuple[bytes, ...]]] = {}

    def wrong(self, route: str, answer: Answer) -> str:
        """Return why an answer with status 200 is not the page, or an empty string."""
        known = self._known.get((route, answer.content_type))
        if known is None:
            if len(self._known) > 1000:
                self._known.clear()
            known = self._known[route, answer.content_type] = self._look(route, answer.content_type)
        cause, beginnings = known
        if cause:
            return cause
        if not answer.size_bytes:
            return "an empty answer"
        if beginnings and not answer.start.startswith(beginnings):
            return "an answer that says it is an image and is none"
        if not beginnings and answer.start[:1] == b"<" and "json" in answer.content_type:
            return "an answer that says it is JSON and is none"
        return ""

    def _look(self, route: str, content_type: str) -> tuple[str, tuple[bytes, ...]]:
        kind = content_type.partition(";")[0].strip().lower()
        wanted = [part.partition(";")[0].strip().lower() for part in self._accepts.get(route, "").split(",")]
        if wanted == [""] or any(
            want in ("*/*", kind) or (want.endswith("/*") and kind.startswith(want[:-1])) for want in wanted
        ):
            return "", MAGIC.get(kind, ())
        return f"{kind or 'no content type'} instead of {self._accepts[route]}", ()


class Engine:
    """Warms every page of the sources once: run() returns when all are done, stop() was called or nothing can go on.

    `transport`: see transport.py. `journal`: an open Journal of job_name(settings, refresh). `sample`: see sample.py's
    Sample. Whatever the outcome, `report` is complete when run() has returned.
    """

    # Requests of earlier attempts that wait for their time, per request in flight. Beyond, no new page is begun.
    waiting_per_slot = 16
    batch_size = 500
    key_step = 31
    # Whoever ends the service waits for a minute, then kills it.
    drain_seconds = 30.0

    def __init__(
        self,
        settings: Configuration,
        transport,
        journal: Journal,
        *,
        refresh: bool = False,
        sample=None,
        status: Status | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._settings = settings
        self._transport = transport
        self._journal = journal
        journal.before_commit = self._write_sample
        self._refresh = refresh
        self._sample = sample
        self._status = status or Status("")
        self._limits = limits or Limits()
        self._clock = clock
        self._routes = Routes(list(settings.routes))
        self._cannot_draw = frozenset(settings.cannot_draw)
        self._judge = Judge(settings.routes)
        self._bases = settings.url.rstrip("/"), settings.refresh_url.rstrip("/")
        self._zones = {
            zone["name"]: Zone(zone["name"], zone["directory"], int(zone["max_size_mib"] * 2**20))
            for zone in settings.zones
        }
        self._room: Room | None = None
        self._valid = {route["name"]: valid_seconds(str(route.get("valid", "365d"))) for route in settings.routes}
        self._concurrency = Concurrency(settings.concurrency, clock())
        self._windows = Windows(settings.windows)
        self._visitors = Visitors(settings.visitors_log, settings.visitors_p95_limit_seconds, clock)
        self._ceilings = dict(settings.route_concurrency)
        self._in_flight_by_route: collections.Counter[str] = collections.Counter()
        self._held: dict[str, collections.deque[_Task]] = {}
        self._held_number = 0
        self._readers = [
            (reader["url"].rstrip("/"), tuple(f"{name}: {value}" for name, value in reader.get("headers", {}).items()))
            for reader in settings.readers
        ]
        for url, _ in self._readers:
            # Spread evenly: no reader gets more than its share at a time.
            self._ceilings[url] = max(1, settings.concurrency // len(self._readers))
        self._ready: collections.deque[_Task] = collections.deque()
        self._urgent: collections.deque[_Task] = collections.deque()
        self._later: list[tuple[float, int, _Task]] = []
        self._tie = itertools.count()
        self._suspects: list[_Task] = []
        self._rechecking: list[_Task] = []
        self._probing = False
        self._pending: set[int] = set()
        self._to_note: dict[str, list[int]] = {outcome: [] for outcome in set(KEPT.values())}
        # What failed in an earlier run is asked for first; the sources may name it once more.
        self._tried_again: set[int] = set()
        self._segments: collections.deque[_Segment] = collections.deque()
        self._batches: Iterator | None = None
        self._feeding = False
        self._failed_in_a_row = 0
        self._overloaded_in_a_row = 0
        self._lost_in_a_row = 0
        self._just_kept: _Task | None = None
        self._kept_check: _Task | None = None
        self._latencies: collections.deque[float] = collections.deque(maxlen=1000)
        self._paused_until = float("-inf")
        self._pause_text = ""
        self._next_tick = float("-inf")
        self._state = "counting"
        self._expected_by_zone: collections.Counter[str] = collections.Counter()
        self._sample_probability = 0.0
        # Whether nginx may have kept less than it said: then the next run should believe the zones' files, not the
        # journal.
        self.doubtful = False
        self.report = Report()
        self.report.refresh = refresh

    def stop(self, reason: str) -> None:
        """End the run as soon as what is in flight has come in; safe in a signal handler."""
        self.report.stopped = self.report.stopped or reason

    def count(self) -> int:
        """Return how many pages there are; nothing is warmed."""
        return sum(self._count(entry) for entry in self._settings.sources)

    def run(self) -> Report:
        """Warm everything, then ask for the sample again; whatever goes wrong is in the report."""
        started = self._clock()
        for step in (self._begin, self._warm, self._check_sample, self._drain, self._save):
            if self.report.stopped and step in (self._begin, self._warm, self._check_sample):
                continue
            try:
                step()
            except (Stopped, SourceError, TransportError, JournalError) as error:
                self.stop(str(error))
        if self._room and self._room.full:
            self.doubtful = True
            if self.report.outcomes["left"]:
                self.stop(". ".join(self._room.full.values()))
        self.report.seconds = self._clock() - started
        return self.report

    # --- What is there to do. ---

    def _begin(self) -> None:
        self.report.problems += self._journal.problems
        if self._journal.resumed:
            self.report.resume(self._journal.outcomes())
        totals = self._journal.cursor(_TOTALS)
        self._tell()
        if totals is None:
            self.report.total = self.count()
            self._journal.set_cursor(_TOTALS, {"total": self.report.total, "zones": dict(self._expected_by_zone)})
        else:
            self.report.total = totals["total"]
            self._expected_by_zone.update(totals["zones"])
        self._sample_probability = self._probability(self.report.total)
        if self._zones:
            self._room = Room(
                self._zones.values(),
                {zone["name"]: int(zone.get("min_free_mib", 0) * 2**20) for zone in self._settings.zones},
            )
        self._batches = self._items()

    def _probability(self, total: int) -> float:
        """Return with which probability a page comes into the sample, so that it is hardly ever smaller than wanted."""
        wanted = max(self._settings.sample_minimum, total * self._settings.sample_fraction)
        wanted += 4 * wanted**0.5
        return 1.0 if wanted >= total else wanted / total

    def _count(self, entry: dict) -> int:
        stream = source_kinds.open_source(entry, self.fetch)
        share = self._settings.share["count"]
        if entry.get("readers"):
            return len(self._readers) * sum(1 for _ in stream)
        iterator = iter(stream)
        first = next(iterator, None)
        if first is not None and stream.approximate_total is not None:
            return stream.approximate_total // share
        total = looked_at = 0
        zones: collections.Counter[str] = collections.Counter()
        loose = _is_loose(entry)
        # Where every page counts, few of them tell which zones they are for.
        step = 1 if share > 1 or loose else self.key_step
        for number, item in enumerate(itertools.chain([] if first is None else [first], iterator)):
            if number % step:
                total += 1
                continue
            key = self._routes.key(item.path)
            if key is None:
                total += not loose
            elif self._is_ours(key.digest):
                total += 1
                looked_at += 1
                zones[key.zone] += 1
            if self.report.stopped:
                break
        for zone, pages in zones.items():
            self._expected_by_zone[zone] += pages * total // looked_at
        return total

    def _is_ours(self, digest: str) -> bool:
        share = self._settings.share
        return int(digest, 16) % share["count"] == share["index"]

    def _items(self) -> Iterator[tuple[dict, _Segment | None, list[Item]]]:
        """Yield the items of all sources in batches, first those that failed in an earlier run of the job."""
        entries = {entry["name"]: entry for entry in self._settings.sources}
        if self._journal.resumed:
            failed = [failure.item for failure in self._journal.failures()]
            self._tried_again = {self._page_number(item.path) for item in failed}
            by_source = operator.attrgetter("source")
            for name, group in itertools.groupby(sorted(failed, key=by_source), by_source):
                if name in entries:
                    yield entries[name], None, list(group)
        for entry in source_kinds.in_order(self._settings.sources):
            stream = source_kinds.open_source(entry, self.fetch, self._journal.cursor(entry["name"]))
            iterator = iter(stream)
            while batch := list(itertools.islice(iterator, self.batch_size)):
                segment = _Segment(entry["name"], stream.cursor)
                self._segments.append(segment)
                yield entry, segment, batch
            self.report.problems += stream.problems

    def _page_number(self, path: str) -> int:
        key = self._routes.key(path)
        return fingerprint(path) if key is None else key.fingerprint

    def _feed(self) -> None:
        """Take one batch from the sources; put what needs a request into `_ready`."""
        self._feeding = True
        try:
            found = next(self._batches, None)
        finally:
            self._feeding = False
        if found is None:
            self._batches = None
            return
        entry, segment, batch = found
        if entry.get("readers"):
            self._feed_readers(segment, batch)
        else:
            self._feed_pages(entry, segment, batch)

    def _feed_pages(self, entry: dict, segment: _Segment | None, batch: list[Item]) -> None:
        key_of, refresh_all, pending = self._routes.key, self._refresh, self._pending
        alone = self._settings.share["count"] == 1
        keyed = []
        again = self._tried_again if segment is not None else ()
        for item in batch:
            key = key_of(item.path)
            if key is None:
                if not _is_loose(entry) and not (again and fingerprint(item.path) in again):
                    self._fail(item, fingerprint(item.path), UNSERVED)
            elif alone or self._is_ours(key.digest):
                keyed.append((item, key, key.fingerprint))
        known = self._journal.finished([page for _, _, page in keyed])
        outcomes, resumed = self.report.outcomes, self.report.resumed
        skip_cached, zones = self._settings.skip_cached, self._zones
        full = self._room.full if self._room else {}
        bases = self._bases
        ready = self._ready
        for item, key, page in keyed:
            if page in again:
                continue
            if page in known or page in pending:
                # After a resume the journal's counts hold it already.
                outcomes["skipped"] += not resumed or page in pending
                continue
            refresh = refresh_all or item.refresh
            zone = zones.get(key.zone)
            if zone is not None and skip_cached and not refresh and self._is_cached(zone, key):
                outcomes["skipped"] += 1
                self._journal.note(page, "skipped")
                if random.random() < self._sample_probability:
                    self._keep_for_sample(item.path, key.route)
                continue
            if segment is not None:
                segment.unfinished += 1
            if key.zone in full and not refresh:
                outcomes["left"] += 1
                continue
            pending.add(page)
            ready.append(_Task(self._page, _url(bases[refresh], item.path), item, page, key.route, key.zone, segment))

    def _is_cached(self, zone: Zone, key) -> bool:
        try:
            return cached(zone, key)
        except OSError as error:
            self._settings = dataclasses.replace(self._settings, skip_cached=False)
            self.report.problems.append(
                f"{zone.directory}: {error.strerror}; every page is asked for, also "
                "where it is cached: let the user that warms read this directory"
            )
            return False

    def _feed_readers(self, segment: _Segment | None, batch: list[Item]) -> None:
        """Every item is asked of every reader, the readers in turn."""
        asked = [(item, url, headers, fingerprint(url + item.path)) for item in batch for url, headers in self._readers]
        known = self._journal.finished(page for _, _, _, page in asked)
        for item, url, headers, page in asked:
            if page in known or page in self._pending:
                self.report.outcomes["skipped"] += not self.report.resumed or page in self._pending
                continue
            self._pending.add(page)
            if segment is not None:
                segment.unfinished += 1
            self._ready.append(_Task(self._reader_page, _url(url, item.path), item, page, url, "", segment, headers))

    def fetch(self, address: str) -> bytes:
        """Return the body of a list, for the sources: a path from the refresh port, a URL from where it says."""
        task = _Task(_note_answer, _url(self._bases[1] if address.startswith("/") else "", address), want_body=True)
        self._urgent.append(task)
        answer = self._answer_of(task)
        if answer.status == 404:
            raise NotFound(f"{address}: HTTP 404; correct the source")
        if answer.status != 200 or answer.cache in STALE:
            raise Stopped(_no_answer(address, answer, task.attempt))
        return answer.body

    def _answer_of(self, task: _Task) -> Answer:
        """Let everything go on until this request is answered for good; without it nothing can: more attempts."""
        while True:
            while task.answer is None:
                if self.report.stopped:
                    raise Stopped(self.report.stopped)
                self._round()
            answer = task.answer
            if not _is_temporary(answer) or task.attempt >= 2 * self._settings.attempts:
                return answer
            task.answer = None
            self._again(task, answer)

    # --- The loop. ---

    def _warm(self) -> None:
        self._state = "warming"
        while not self.report.stopped and self._busy():
            self._round()
        if not self.report.stopped:
            # What was an estimate is known by now.
            self.report.total = self.report.done + self.report.outcomes["left"]

    def _busy(self) -> bool:
        return bool(
            self._batches
            or self._ready
            or self._urgent
            or self._later
            or self._suspects
            or self._rechecking
            or self._held_number
            or self._transport.in_flight
        )

    def _round(self) -> None:
        now = self._clock()
        if now >= self._next_tick:
            self._tick(now)
        fed = False
        # As many wait as can be asked for while the next list is read.
        if (
            self._batches
            and not self._feeding
            and len(self._ready) < self.batch_size
            and not self._pause_text
            and self._waiting() < self.waiting_per_slot * self._settings.concurrency
        ):
            self._feed()
            fed = True
        allowed = 0 if self._pause_text else self._concurrency.allowed
        self._submit(allowed, now)
        in_flight = self._transport.in_flight
        # Nothing to wait for while there is room and more to feed.
        answers = self._transport.wait(0.0 if fed and in_flight < allowed else self._wait_seconds(allowed))
        if not answers:
            return
        failures = 0
        for task, answer in answers:
            status = answer.status
            if status == 0 or status == 429 or status >= 500:
                failures += 1
                self._overloaded(answer)
            elif status == 200:
                self._overloaded_in_a_row = 0
            if answer.cache != "HIT" and status == 200:
                self._concurrency.made(task.route, answer.seconds)
            self._latencies.append(answer.seconds)
            if self._ceilings and task.route in self._ceilings:
                self._in_flight_by_route[task.route] -= 1
            task.handle(task, answer)
        self._note_kept()
        self.report.requests += len(answers)
        self._concurrency.note(len(answers), failures, self._transport.in_flight, self._clock())

    def _wait_seconds(self, allowed: int) -> float:
        now = self._clock()
        until = self._next_tick
        if self._later and self._transport.in_flight < allowed:
            until = min(until, self._later[0][0])
        return min(1.0, max(0.0, until - now))

    def _waiting(self) -> int:
        return len(self._later) + len(self._suspects) + len(self._rechecking) + self._held_number

    def _submit(self, allowed: int, now: float) -> None:
        if self._suspects and not self._probing:
            # One probe answers for all that were refused until now.
            self._probing, self._rechecking, self._suspects = True, self._suspects, []
            self._urgent.append(_Task(self._probe, _url(self._bases[1], self._settings.probe)))
        transport = self._transport
        room = allowed - transport.in_flight
        while room > 0:
            task = self._next(now)
            if task is None:
                return
            transport.submit(task, task.url, task.want_body, task.headers)
            room -= 1

    def _next(self, now: float) -> _Task | None:
        if self._urgent:
            return self._urgent.popleft()
        while self._later and self._later[0][0] <= now:
            task = heapq.heappop(self._later)[2]
            if self._admit(task):
                return task
        if not self._ceilings:
            return self._ready.popleft() if self._ready else None
        for route, held in self._held.items():
            if held and self._in_flight_by_route[route] < self._ceilings[route]:
                self._held_number -= 1
                self._in_flight_by_route[route] += 1
                return held.popleft()
        while self._ready:
            task = self._ready.popleft()
            if self._admit(task):
                return task
        return None

    def _admit(self, task: _Task) -> bool:
        """Return whether a task may go now; if its route's ceiling is reached, it is held."""
        ceiling = self._ceilings.get(task.route)
        if ceiling is None:
            return True
        if self._in_flight_by_route[task.route] >= ceiling:
            self._held.setdefault(task.route, collections.deque()).append(task)
            self._held_number += 1
            return False
        self._in_flight_by_route[task.route] += 1
        return True

    def _tick(self, now: float) -> None:
        """What is looked at once a second."""
        self._next_tick = now + 1.0
        opens = self._windows.opens()
        if opens:
            self._pause_text = f"waiting for {opens}"
        elif now < self._paused_until:
            self._pause_text = f"waiting {self._paused_until - now:.0f} s for the image servers"
        elif self._visitors.waiting():
            self._pause_text = "paused for visitors"
        else:
            self._pause_text = ""
        if self._room:
            self._room.look(self._expected_by_zone, self.report.total or 0)
            if self._room.full:
                self._leave_full_zones()
        self._check_kept()
        self._save()
        self._tell()

    def _tell(self) -> None:
        self._status.write(
            self._pause_text or self._state,
            self.report,
            concurrency=self._concurrency.allowed,
            in_flight=self._transport.in_flight,
            latency_p95_seconds=percentile(list(self._latencies), 0.95) if self._latencies else None,
        )

    def _note_kept(self) -> None:
        """Note what was kept since the last time, all at once: it is most of what there is to note."""
        for outcome, pages in self._to_note.items():
            if pages:
                self._journal.note_all(pages, outcome)
                pages.clear()

    def _save(self) -> None:
        """Commit what is finished, and from where on the sources need to be read again."""
        self._note_kept()
        while self._segments and not self._segments[0].unfinished:
            segment = self._segments.popleft()
            self._journal.set_cursor(segment.source, segment.cursor)
        self._journal.commit()

    def _write_sample(self) -> None:
        """Write the sample before the journal, which must not know pages that the sample has lost."""
        if self._sample is not None:
            try:
                self._sample.flush()
            except OSError as error:
                raise JournalError(
                    f"{self._settings.sample_path}: {error.strerror}; make room and start again: "
                    "nothing that was written is lost"
                ) from None

    def _drain(self) -> None:
        """Take what is in flight, begin nothing."""
        until = self._clock() + min(self._settings.timeout_seconds, self.drain_seconds)
        while self._transport.in_flight and self._clock() < until:
            for task, answer in self._transport.wait(0.5):
                self.report.requests += 1
                if task.handle == self._page and answer.status == 200 and answer.cache in KEPT:
                    # Where the journal is what failed, the zone's files tell the next run.
                    with contextlib.suppress(JournalError):
                        task.handle(task, answer)

    # --- What the answers mean. ---

    def _page(self, task: _Task, answer: Answer) -> None:
        status = answer.status
        if status == 200:
            outcome = KEPT.get(answer.cache)
            if outcome is not None:
                wrong = self._judge.wrong(task.route, answer)
                if not wrong:
                    if outcome == "refreshed" and not (self._refresh or task.item.refresh):
                        # Asked for past the cache, because the cache had no right answer.
                        outcome = "miss"
                    self._kept(task, answer, outcome)
                    return
                # The cache would only say the same again.
                task.url = _url(self._bases[1], task.item.path)
                self._again_or_fail(task, answer, wrong, True)
            elif answer.cache in STALE:
                self._again_or_fail(task, answer, f"an old copy, because the image servers fail ({answer.cache})", True)
            else:
                cause = f"nginx does not keep it (X-Cache-Status: {answer.cache or 'none'})"
                self._again_or_fail(task, answer, cause, False)
        elif status in self._cannot_draw:
            task.answer = answer
            self._suspects.append(task)
        elif status == 404 and task.item.optional:
            self._finish(task, answer, "absent")
        elif 300 <= status < 400:
            self._again_or_fail(task, answer, f"HTTP {status}, a redirect, which nginx does not keep", False)
        else:
            self._again_or_fail(task, answer, answer.error or f"HTTP {status}", _is_temporary(answer))

    def _reader_page(self, task: _Task, answer: Answer) -> None:
        if answer.status == 200:
            # Drawn anew by each warm on purpose: nothing is new in nginx's cache.
            self._kept(task, answer, "refreshed")
        elif answer.status in self._cannot_draw:
            # Nobody but the cache's own probe could say whether this reader is well.
            self._finish(task, answer, "unsupported")
        elif answer.status == 404 and task.item.optional:
            self._finish(task, answer, "absent")
        else:
            self._again_or_fail(task, answer, answer.error or f"HTTP {answer.status}", _is_temporary(answer))

    def _kept(self, task: _Task, answer: Answer, outcome: str) -> None:
        report = self.report
        report.outcomes[outcome] += 1
        report.by_cache_status[answer.cache] += 1
        report.size_bytes += answer.size_bytes
        self._failed_in_a_row = 0
        self._to_note[outcome].append(task.page)
        self._pending.discard(task.page)
        if task.segment is not None:
            task.segment.unfinished -= 1
        if not task.zone:
            return
        if outcome == "miss" and self._room is not None and self._room.stored(task.zone, answer.size_bytes):
            self._next_tick = self._clock()
        if outcome != "hit" and self._just_kept is None and self._valid[task.route] >= 60:
            self._just_kept = task
        if random.random() < self._sample_probability:
            self._keep_for_sample(task.item.path, task.route)

    def _release(self, task: _Task) -> None:
        self._pending.discard(task.page)
        if task.segment is not None:
            task.segment.unfinished -= 1

    def _finish(self, task: _Task, answer: Answer, outcome: str) -> None:
        self.report.outcomes[outcome] += 1
        self.report.by_status[answer.status] += 1
        if outcome == "unsupported" and len(self.report.unsupported_examples) < MAX_EXAMPLES:
            self.report.unsupported_examples.append(task.item.path)
        self._journal.note(task.page, outcome)
        self._failed_in_a_row = 0
        self._release(task)

    def _fail(self, item: Item, page: int, cause: str) -> None:
        self.report.outcomes["failed"] += 1
        self.report.failed(item.path, cause)
        self._journal.note(page, FAILED, item, cause)

    def _again_or_fail(self, task: _Task, answer: Answer, cause: str, temporary: bool) -> None:
        if temporary and task.attempt < self._settings.attempts:
            self._again(task, answer)
            return
        self._fail(task.item, task.page, cause)
        self.report.by_status[answer.status] += 1
        self._release(task)
        self._failed_in_a_row = self._failed_in_a_row + 1 if temporary else 0
        if self._failed_in_a_row >= self._limits.give_up_after:
            raise Stopped(
                f"{self._failed_in_a_row} pages in a row failed, the last one with: {cause}; see to the "
                "image servers and run the warm again: what is cached stays"
            )

    def _again(self, task: _Task, answer: Answer) -> None:
        self.report.retries += 1
        pause_seconds = self._limits.pause_seconds(task.attempt, answer.error == CONNECTION_REFUSED)
        if answer.retry_after:
            pause_seconds = max(pause_seconds, self._retry_after_seconds(answer))
        task.attempt += 1
        self._put_off(task, pause_seconds)

    def _put_off(self, task: _Task, seconds: float) -> None:
        heapq.heappush(self._later, (self._clock() + seconds, next(self._tie), task))

    def _retry_after_seconds(self, answer: Answer) -> float:
        seconds = retry_after_seconds(answer.retry_after, time.time()) or 0.0
        return min(seconds, self._limits.longest_retry_after_seconds)

    def _overloaded(self, answer: Answer) -> None:
        """Nobody asks before the time that was named: at once where all are meant (429), else when it seems so."""
        self._overloaded_in_a_row += 1
        if answer.retry_after and (answer.status == 429 or self._overloaded_in_a_row >= 3):
            until = self._clock() + self._retry_after_seconds(answer)
            if until > self._paused_until:
                self._paused_until = until
                # The next tick may be almost a second away, and no request may be made until then.
                self._next_tick = self._clock()

    def _probe(self, task: _Task, answer: Answer) -> None:
        if answer.status != 200 or answer.cache in STALE:
            if not _is_temporary(answer) or task.attempt >= 2 * self._settings.attempts:
                raise Stopped(_no_answer(self._settings.probe, answer, task.attempt))
            self._again(task, answer)
            return
        self._probing = False
        rechecked, self._rechecking = self._rechecking, []
        for suspect in rechecked:
            suspect.refused += 1
            # Refused, found well, refused again, found well again: it is the image and not the server.
            if suspect.refused >= 2:
                self._finish(suspect, suspect.answer, "absent" if suspect.item.optional else "unsupported")
            else:
                # Past what nginx remembers for a moment of a failure that a visitor met.
                suspect.url = _url(self._bases[1], suspect.item.path)
                self._put_off(suspect, 0.0)

    # --- Is it true? ---

    def _keep_for_sample(self, path: str, route: str) -> None:
        if self._sample is not None:
            self._sample.add(path, route)

    def _check_kept(self) -> None:
        """Once a second, ask again for a page that nginx has just said it keeps: a full disk shows at once."""
        if self._state != "warming":
            return
        if self._kept_check is not None:
            self._urgent.append(self._kept_check)
        task, self._just_kept, self._kept_check = self._just_kept, None, None
        if task is not None:
            # With the next tick. The end of the warm does not wait for it: the sample is asked for then.
            self._kept_check = _Task(self._kept_still, _url(self._bases[0], task.item.path), task.item, zone=task.zone)

    def _kept_still(self, task: _Task, answer: Answer) -> None:
        if answer.status != 200:
            return
        self._lost_in_a_row = 0 if answer.cache == "HIT" else self._lost_in_a_row + 1
        if self._lost_in_a_row >= self._limits.lost_after:
            self.doubtful = True
            raise Stopped(
                f"nginx does not keep what it fetches: {self._lost_in_a_row} pages of zone {task.zone} in a "
                f"row were answered {answer.cache} a second later, e.g. {task.item.path}; see nginx's error "
                "log (is the disk full? is the zone too small?) and run the warm again"
            )

    def _check_sample(self) -> None:
        if self._sample is None:
            return
        self._state = "sampling"
        now = time.time()
        tasks = (
            _Task(self._sampled, _url(self._bases[0], path), Item(path, "sample"))
            for kept_at, route, path in self._sample.read()
            if 0 <= now - kept_at < self._valid.get(route, 0) - 1
        )
        self._sample_tasks(tasks)

    def _sample_tasks(self, tasks: Iterator[_Task]) -> None:
        more = True
        while not self.report.stopped and (more or self._busy()):
            if more and len(self._ready) < self.batch_size:
                batch = list(itertools.islice(tasks, self.batch_size))
                more = bool(batch)
                self._ready.extend(batch)
            # Without anything to do, a round would wait for it.
            if self._busy():
                self._round()

    def _sampled(self, task: _Task, answer: Answer) -> None:
        if _is_temporary(answer) and answer.cache not in STALE and task.attempt < self._settings.attempts:
            self._again(task, answer)
            return
        if answer.status == 200:
            self.report.sampled(task.item.path, answer.cache or "no X-Cache-Status")
        else:
            self.report.sampled(task.item.path, answer.error or f"HTTP {answer.status}")

    def _leave_full_zones(self) -> None:
        """Take what waits for a full zone out of the queue."""
        full = self._room.full
        if not any(task.zone in full for task in self._ready):
            return
        kept: collections.deque[_Task] = collections.deque()
        for task in self._ready:
            if task.zone in full and not (self._refresh or task.item.refresh):
                self._pending.discard(task.page)
                self.report.outcomes["left"] += 1
            else:
                kept.append(task)
        self._ready = kept


def _url(base: str, path: str) -> bytes:
    return (base + path).encode("utf-8", "surrogateescape")


def _note_answer(task: _Task, answer: Answer) -> None:
    task.answer = answer


def _is_loose(entry: dict) -> bool:
    return entry.get("kind", "list") in LOOSE_KINDS


def _is_temporary(answer: Answer) -> bool:
    return answer.status in OVERLOADED or answer.status >= 500 or answer.cache in STALE


def _no_answer(address: str, answer: Answer, attempts: int) -> str:
    cause = answer.error or (
        f"an old copy, because the image servers fail ({answer.cache})"
        if answer.cache in STALE
        else f"HTTP {answer.status}"
    )
    return (
        f"{address}: {cause} after {attempts} attempt{'s' if attempts > 1 else ''}; see to nginx on the cache host "
        "and to the image servers, then run the warm again"
    )
