# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is fetched when.

One thread. Items flow from the sources through feed.py (which of them need a request?) to the queue, into flight, and
through answers.py (what does the answer mean?) to the ledger, or back to the queue for another attempt. A source that
needs a list asks for it by `fetch`, which keeps the pages of the list before in flight meanwhile.

A page counts as warm only when nginx has said that it keeps it: X-Cache-Status HIT, or MISS, EXPIRED or BYPASS with a
whole answer of the right kind, status 200. In the end a sample of them is asked for again, and must be HIT.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Callable

from ..nginx_cache.keys import Routes
from ..nginx_cache.zone_files import Zone, valid_seconds
from ..percentile import percentile
from .answer import STALE, Answer, is_temporary, no_answer
from .answers import Answers
from .configuration import Configuration
from .count import Total, count
from .feed import BATCH_SIZE, Feed
from .items import NO_ITEM, Fetch, Task
from .journal import Journal, JournalError
from .judge import KEPT, Judge
from .ledger import Ledger
from .limits import Limits, Stopped
from .pace import Concurrency, Room, Visitors, Windows
from .proof import Proof
from .queue import Queue
from .report import Report
from .sample import Sample
from .status import Status
from .stream import NotFound, SourceError
from .transport import AnyTransport, TransportError

# Under this name the journal keeps what is no source's cursor; a source cannot have an empty name.
_TOTALS = ""


def job_name(settings: Configuration, refresh: bool) -> str:
    """Return what identifies a job in the journal: whatever changes which pages there are, or what done means."""
    parts = [
        settings.sources,
        settings.routes,
        settings.share,
        settings.readers,
        refresh,
        settings.cannot_draw,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Engine:
    """Warms every page of the sources once: run() returns when all are done, stop() was called or nothing can go on.

    `transport`: see transport.py. `journal`: an open Journal of job_name(settings, refresh). `sample`: see sample.py's
    Sample. Whatever the outcome, `report` is complete when run() has returned.
    """

    # Requests of earlier attempts that wait for their time, per request in flight. Beyond, no new page is begun.
    waiting_per_slot = 16
    # How long what is kept may stay unknown to the journal, which writes twice a second.
    note_seconds = 0.2
    # Whoever ends the service waits for a minute, then kills it.
    drain_seconds = 30.0

    def __init__(
        self,
        settings: Configuration,
        transport: AnyTransport,
        journal: Journal,
        *,
        refresh: bool = False,
        sample: Sample | None = None,
        status: Status | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.report = Report()
        self.report.refresh = refresh
        self._settings = settings
        self._transport = transport
        self._journal = journal
        self._status = status or Status("")
        self._clock = clock
        self._addresses = settings.addresses
        self._routes = Routes(settings.routes)
        self._zones = {
            zone["name"]: Zone(zone["name"], zone["directory"], int(zone["max_size_mib"] * 2**20))
            for zone in settings.zones
        }
        self._room: Room | None = None
        self._pressure = settings.pressure
        self._concurrency = Concurrency(self._pressure.concurrency, clock())
        self._windows = Windows(self._pressure.windows)
        self._visitors = Visitors(self._pressure.visitors_log, self._pressure.visitors_p95_limit_seconds, clock)
        limits = limits or Limits()
        pages = settings.pages(refresh)
        # Spread evenly: no reader gets more than its share at a time.
        share = max(1, self._pressure.concurrency // max(1, len(pages.readers)))
        ceilings = {**self._pressure.route_concurrency, **{reader.url: share for reader in pages.readers}}
        self._queue = Queue(ceilings, clock)
        self._ledger = Ledger(journal, self.report)
        valid = {route["name"]: valid_seconds(str(route.get("valid", "365d"))) for route in settings.routes}
        self._proof = Proof(self._addresses, valid, sample, self._queue, self.report, limits, settings.attempts)
        journal.before_commit = self._proof.write
        self._answers = Answers(
            self._addresses,
            Judge(settings.routes),
            self._ledger,
            self._proof,
            self._queue,
            limits,
            attempts=settings.attempts,
            cannot_draw=settings.cannot_draw,
            refresh=refresh,
            clock=clock,
            look=self._look_soon,
        )
        self._pages = pages
        self._feed = Feed(
            pages,
            self._routes,
            self._zones,
            self._addresses,
            self._ledger,
            self._proof,
            self._queue,
            self._answers.page,
            self._answers.reader_page,
            self.fetch,
        )
        self._latencies: collections.deque[float] = collections.deque(maxlen=1000)
        self._pause_text = ""
        self._next_tick = self._note_at = float("-inf")
        self._state = "counting"
        self._expected_by_zone: collections.Counter[str] = collections.Counter()

    @property
    def doubtful(self) -> bool:
        """Whether nginx may have kept less than it said: then the next run believes the zones' files, not the journal."""
        return self._proof.doubtful

    def stop(self, reason: str) -> None:
        """End the run as soon as what is in flight has come in; safe in a signal handler."""
        self.report.stopped = self.report.stopped or reason

    def count(self) -> int:
        """Return how many pages there are; nothing is warmed."""
        return self._count().pages

    def _count(self) -> Total:
        pages = self._pages
        return count(
            pages.sources, self._routes, pages.share, len(pages.readers), self.fetch, lambda: bool(self.report.stopped)
        )

    def run(self) -> Report:
        """Warm everything, then ask for the sample again; whatever goes wrong is in the report."""
        started = self._clock()
        work: tuple[Callable[[], None], ...] = (self._begin, self._warm, self._check_sample)
        last: tuple[Callable[[], None], ...] = (self._drain, self._ledger.save)
        for step in work + last:
            if self.report.stopped and step in work:
                continue
            try:
                step()
            except (Stopped, SourceError, TransportError, JournalError) as error:
                self.stop(str(error))
        if self._room and self._room.full:
            self._proof.doubtful = True
            if self.report.outcomes["left"]:
                self.stop(". ".join(self._room.full.values()))
        self.report.seconds = self._clock() - started
        return self.report

    def _begin(self) -> None:
        self.report.problems += self._journal.problems
        if self._journal.resumed:
            self.report.resume(self._journal.outcomes())
        totals = self._journal.cursor(_TOTALS)
        self._tell()
        if totals is None:
            total = self._count()
            self._journal.set_cursor(_TOTALS, {"total": total.pages, "zones": dict(total.zones)})
        else:
            total = Total(totals["total"], collections.Counter(totals["zones"]))
        self.report.total = total.pages
        self._expected_by_zone.update(total.zones)
        self._proof.probability = self._settings.sample_size.probability(total.pages)
        if self._zones:
            min_free_bytes = {zone["name"]: int(zone.get("min_free_mib", 0) * 2**20) for zone in self._settings.zones}
            self._room = self._feed.room = self._answers.room = Room(self._zones.values(), min_free_bytes)
        self._feed.begin()

    def fetch(self, address: str) -> bytes:
        """Return the body of a list, for the sources: a path from the refresh port, a URL from where it says."""
        task = Fetch(_note_answer, self._addresses.of(address), NO_ITEM)
        self._queue.urgent.append(task)
        answer = self._answer_of(task)
        if answer.status == 404:
            raise NotFound(f"{address}: HTTP 404; correct the source")
        if answer.status != 200 or answer.cache in STALE:
            raise Stopped(no_answer(address, answer, task.attempt))
        return answer.body

    def _answer_of(self, task: Task) -> Answer:
        """Let everything go on until this request is answered for good; without it nothing can: more attempts."""
        while True:
            while task.answer is None:
                if self.report.stopped:
                    raise Stopped(self.report.stopped)
                self._round()
            answer = task.answer
            if not is_temporary(answer) or task.attempt >= 2 * self._settings.attempts:
                return answer
            task.answer = None
            self._answers.again(task, answer)

    # --- The loop. ---

    def _warm(self) -> None:
        self._state = "warming"
        while not self.report.stopped and self._busy():
            self._round()
        if not self.report.stopped:
            # What was an estimate is known by now.
            self.report.total = self.report.done + self.report.outcomes["left"]

    def _busy(self) -> bool:
        return bool(self._transport.in_flight or self._queue or self._feed.has_more or self._answers.waiting)

    def _waiting(self) -> int:
        return self._queue.waiting + self._answers.waiting

    def _round(self) -> None:
        now = self._clock()
        if now >= self._next_tick:
            self._tick(now)
        feed, transport, answers_of = self._feed, self._transport, self._answers
        fed = False
        # As many wait as can be asked for while the next list is read.
        if (
            len(self._queue.ready) < BATCH_SIZE
            and feed.has_more
            and not feed.busy
            and not self._pause_text
            and self._waiting() < self.waiting_per_slot * self._pressure.concurrency
        ):
            feed.take()
            fed = True
        allowed = 0 if self._pause_text else self._concurrency.allowed
        in_flight = self._submit(allowed, now)
        # Nothing to wait for while there is room and more to feed.
        answers = transport.wait(0.0 if fed and in_flight < allowed else self._wait_seconds(in_flight < allowed))
        if not answers:
            return
        failures = 0
        made, took, with_ceilings = self._concurrency.made, self._latencies.append, bool(self._queue.ceilings)
        for task, answer in answers:
            status = answer.status
            if status == 200:
                answers_of.well()
                if answer.cache != "HIT":
                    made(task.route, answer.seconds)
            elif status in (0, 429) or status >= 500:
                failures += 1
                answers_of.overloaded(answer)
            took(answer.seconds)
            if with_ceilings:
                self._queue.answered(task)
            task.handle(task, answer)
        now = self._clock()
        if now >= self._note_at:
            self._ledger.note_kept()
            self._note_at = now + self.note_seconds
        self.report.requests += len(answers)
        self._concurrency.note(len(answers), failures, transport.in_flight, now)

    def _wait_seconds(self, has_room: bool) -> float:
        until = min(self._next_tick, self._queue.next_at) if has_room else self._next_tick
        return min(1.0, max(0.0, until - self._clock()))

    def _submit(self, allowed: int, now: float) -> int:
        """Begin what may be in flight; return how much is."""
        self._answers.probe()
        transport, next_task = self._transport, self._queue.next
        in_flight = transport.in_flight
        while in_flight < allowed:
            task = next_task(now)
            if task is None:
                break
            transport.submit(task, task.url, task.want_body, task.headers)
            in_flight += 1
        return in_flight

    def _look_soon(self) -> None:
        self._next_tick = self._clock()

    def _tick(self, now: float) -> None:
        """What is looked at once a second."""
        self._next_tick = now + 1.0
        opens = self._windows.opens()
        if opens:
            self._pause_text = f"waiting for {opens}"
        elif now < self._answers.paused_until:
            self._pause_text = f"waiting {self._answers.paused_until - now:.0f} s for the image servers"
        elif self._visitors.waiting():
            self._pause_text = "paused for visitors"
        else:
            self._pause_text = ""
        if self._room:
            self._room.look(self._expected_by_zone, self.report.total or 0)
            if self._room.full:
                self._feed.leave_full_zones(self._room.full)
        if self._state == "warming":
            self._proof.check()
        self._ledger.save()
        self._tell()

    def _tell(self) -> None:
        self._status.write(
            self._pause_text or self._state,
            self.report,
            concurrency=self._concurrency.allowed,
            in_flight=self._transport.in_flight,
            latency_p95_seconds=percentile(self._latencies, 0.95) if self._latencies else None,
        )

    def _drain(self) -> None:
        """Take what is in flight, begin nothing."""
        until = self._clock() + min(self._settings.timeout_seconds, self.drain_seconds)
        while self._transport.in_flight and self._clock() < until:
            for task, answer in self._transport.wait(0.5):
                self.report.requests += 1
                if task.handle == self._answers.page and answer.status == 200 and answer.cache in KEPT:
                    # Where the journal is what failed, the zone's files tell the next run.
                    with contextlib.suppress(JournalError):
                        task.handle(task, answer)

    # --- The sample. ---

    def _check_sample(self) -> None:
        self._state = "sampling"
        tasks = self._proof.tasks(self._sampled)
        more = True
        while not self.report.stopped and (more or self._busy()):
            if more and len(self._queue.ready) < BATCH_SIZE:
                batch = list(itertools.islice(tasks, BATCH_SIZE))
                more = bool(batch)
                self._queue.ready.extend(batch)
            # Without anything to do, a round would wait for it.
            if self._busy():
                self._round()

    def _sampled(self, task: Task, answer: Answer) -> None:
        if not self._proof.sampled(task, answer):
            self._answers.again(task, answer)


def _note_answer(task: Task, answer: Answer) -> None:
    task.answer = answer
