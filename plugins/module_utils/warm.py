"""Fills the cache ahead of the visitors.

Four parts, each of which knows little of the others:
- Source: which URLs there are, page by page, from the driver's cache policy; pure. The pictures of the gallery's front
  page come beside them, because the catalogue may name others.
- Engine: what is fetched when: bounded concurrency, retries, what an answer means; it sees no socket and no clock but
  those that it is given.
- Transport: how it is fetched: many requests in flight in one thread by libcurl.
- Report: what came out of it.
A journal (see Journal) may tell the engine what an earlier run has finished.
"""
from __future__ import annotations

import collections
import contextlib
import dataclasses
import heapq
import itertools
import json
import random
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

try:
    import pycurl
except ImportError:
    # The module says which package is missing; everything but Transport works without.
    pycurl = None

# Answers that say "not now": fetched again, and with fewer requests at a time.
OVERLOADED = frozenset({408, 429, 502, 503, 504})
# What the image server says about images that it cannot decode, but also about any image while its database is away.
UNSUPPORTED = 415
MAX_EXAMPLES = 10
# Cache statuses of an answer that the cache gave because the image servers could not.
STALE = frozenset({"STALE", "UPDATING"})
# The cache status of an answer that was fetched anew on purpose, cached before or not.
REFRESHED = "BYPASS"


class WarmError(Exception):
    """The warm cannot go on; the text says what happened and what to do."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One URL to warm: its path with query, the source it is from, and whether its absence is ordinary."""

    path: str
    source: str
    optional: bool = False
    refresh: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """One entry of a policy's warm_sources: a list of ids in pages and the URLs of each id.

    `refresh` fetches the URLs anew even where they are cached: for what may have changed since.
    """

    name: str
    list: str
    page_size: int
    urls: tuple[str, ...]
    optional_urls: tuple[str, ...] = ()
    refresh: bool = False

    @classmethod
    def from_policy(cls, entry: dict, refresh: bool = False) -> Source:
        """Return the source of an entry of warm_sources (see the driver's vars/main.yml)."""
        return cls(entry["name"], entry["list"], int(entry["page_size"]), tuple(entry["urls"]),
                   tuple(entry.get("optional_urls", ())), refresh or bool(entry.get("refresh", False)))

    @property
    def urls_per_id(self) -> int:
        return len(self.urls) + len(self.optional_urls)

    def page_path(self, since: int) -> str:
        """Return the path of the page of ids that begins after the first `since` ids."""
        return f"{self.list}{'&' if '?' in self.list else '?'}since={since}&limit={self.page_size}"

    def items(self, ids: list[str]) -> Iterator[Item]:
        """Yield the URLs of a page of ids, all of one id after another."""
        for identifier in ids:
            quoted = urllib.parse.quote(identifier, safe="")
            for template in self.urls:
                yield Item(template.replace("{id}", quoted), self.name, False, self.refresh)
            for template in self.optional_urls:
                yield Item(template.replace("{id}", quoted), self.name, True, self.refresh)


def front_page(catalogue: bytes) -> list[Item]:
    """Return the pictures that the gallery's catalogue.json names; raise WarmError if it is none."""
    try:
        pictures = [study["thumbnail"] for study in json.loads(catalogue)["studies"]]
    except (ValueError, LookupError, TypeError):
        raise WarmError("the gallery's catalogue.json cannot be read; run load.yml, which writes it") from None
    # A study of which nothing can be drawn has none.
    return [Item(path, "front page") for path in pictures if path]


class Pages:
    """Walks the pages of one source: next_path() until `finished`, and accept() for each page's text."""

    def __init__(self, source: Source):
        self.source = source
        self.since = 0
        self.finished = False
        self._first = None

    def next_path(self) -> str:
        return self.source.page_path(self.since)

    def accept(self, text: bytes) -> list[str]:
        """Return the ids of the page; raise WarmError if it is none."""
        path = self.next_path()
        try:
            ids = json.loads(text)
        except ValueError:
            ids = None
        if not isinstance(ids, list) or not all(isinstance(identifier, str) for identifier in ids):
            raise WarmError(f"{path} answers no JSON list of ids; correct warm_sources of the image server's driver")
        if ids and ids[0] == self._first:
            raise WarmError(f"{path} answers the same page again: the list ignores since and limit")
        self.since += len(ids)
        self._first = ids[0] if ids else None
        # Not a page shorter than asked for, but an empty one is the end: a server may give less than asked.
        self.finished = not ids
        return ids


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a request came to: an HTTP status, or 0 and an error; `cache` is the header X-Cache-Status."""

    status: int
    cache: str = ""
    size_bytes: int = 0
    error: str = ""
    body: bytes = b""

    @property
    def overloaded(self) -> bool:
        return self.status == 0 or self.status in OVERLOADED

    @property
    def temporary(self) -> bool:
        return self.overloaded or self.status >= 500 or self.cache in STALE

    @property
    def fresh(self) -> bool:
        return self.status == 200 and self.cache not in STALE

    @property
    def cause(self) -> str:
        if self.cache in STALE:
            return f"an old copy, because the image servers fail ({self.cache})"
        return self.error or f"HTTP {self.status}"


class Journal:
    """Where an engine notes what is finished, and asks what is not worth asking for again; this one forgets."""

    def skip(self, item: Item) -> bool:
        """Return True if an earlier run has finished the item and it need not be asked for."""
        return False

    def finished(self, item: Item, outcome: str) -> None:
        """Note that an item came to its end: cached, absent, unsupported or failed."""


class Report:
    """The counts of a run, as the module returns them."""

    def __init__(self, total: int | None = None):
        self.total = total
        self.cached = 0
        self.absent = 0
        self.unsupported = 0
        self.failed = 0
        self.skipped = 0
        self.retries = 0
        self.size_bytes = 0
        self.seconds = 0.0
        self.stopped = ""
        self.by_cache_status: collections.Counter[str] = collections.Counter()
        self.by_status: collections.Counter[str] = collections.Counter()
        self.failures: dict[str, dict] = {}
        self.unsupported_examples: list[str] = []

    @property
    def done(self) -> int:
        return self.cached + self.absent + self.unsupported + self.failed + self.skipped

    @property
    def added(self) -> int:
        """How many answers were not in the cache before."""
        return sum(count for status, count in self.by_cache_status.items() if status not in STALE | {"HIT", REFRESHED})

    @property
    def coverage(self) -> float:
        """Fraction of all URLs that are cached or that nobody could cache; 1.0 where there are none."""
        every = max(self.total or 0, self.done)
        return (self.done - self.failed) / every if every else 1.0

    def note(self, item: Item, answer: Answer, outcome: str) -> None:
        """Count an item that came to its end."""
        setattr(self, outcome, getattr(self, outcome) + 1)
        self.by_status[str(answer.status) if answer.status else "none"] += 1
        if outcome == "cached":
            self.by_cache_status[answer.cache or "NONE"] += 1
            self.size_bytes += answer.size_bytes
        elif outcome == "unsupported" and len(self.unsupported_examples) < MAX_EXAMPLES:
            self.unsupported_examples.append(item.path)
        elif outcome == "failed":
            failure = self.failures.setdefault(answer.cause, {"count": 0, "examples": []})
            failure["count"] += 1
            if len(failure["examples"]) < MAX_EXAMPLES:
                failure["examples"].append(item.path)

    def as_dict(self) -> dict:
        """Return the report as plain data; counts by cause, the most frequent first."""
        return {
            "total": self.total if self.total is not None else self.done,
            "done": self.done,
            "cached": self.cached,
            "added": self.added,
            "refreshed": self.by_cache_status[REFRESHED],
            "absent": self.absent,
            "unsupported": self.unsupported,
            "unsupported_examples": self.unsupported_examples,
            "failed": self.failed,
            "skipped": self.skipped,
            "retries": self.retries,
            "bytes": self.size_bytes,
            "seconds": round(self.seconds, 2),
            "rate_per_second": round(self.done / self.seconds, 1) if self.seconds > 0 else 0.0,
            "coverage": round(self.coverage, 6),
            "by_cache_status": dict(self.by_cache_status.most_common()),
            "by_status": dict(self.by_status.most_common()),
            "failures": [{"cause": cause, **failure}
                         for cause, failure in sorted(self.failures.items(), key=lambda entry: -entry[1]["count"])],
            "stopped": self.stopped,
        }


@dataclasses.dataclass(frozen=True)
class Limits:
    """How hard the engine presses. Times in seconds."""

    concurrency: int = 8
    attempts: int = 6
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    # So many items in a row that failed for good: nobody is there, and asking for the rest helps nobody.
    give_up_after: int = 50
    # Not more often than this, however many answers of one overload come in.
    slow_down_interval_seconds: float = 1.0

    def pause_seconds(self, attempt: int) -> float:
        """Return how long to wait after the failed attempt number `attempt` (from 1): doubling, with jitter."""
        longest = min(self.first_pause_seconds * 2 ** (attempt - 1), self.longest_pause_seconds)
        return longest * random.uniform(0.75, 1.0)


class Concurrency:
    """How many requests may be in flight: halved when the image servers are overloaded, grown slowly else."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._allowed = max(1.0, limits.concurrency / 2)
        self._slowed_at = float("-inf")

    @property
    def allowed(self) -> int:
        return int(self._allowed)

    def note(self, overloaded: bool, now: float) -> None:
        if not overloaded:
            # One more after about four rounds of good answers.
            self._allowed = min(float(self._limits.concurrency), self._allowed + 0.25 / self._allowed)
        elif now - self._slowed_at >= self._limits.slow_down_interval_seconds:
            self._allowed = max(1.0, self._allowed / 2)
            self._slowed_at = now


@dataclasses.dataclass
class _Task:
    """A request on its way through the engine: an item, a page of ids or the probe, which have no item."""

    path: str
    refresh: bool
    item: Item | None = None
    attempt: int = 1
    # How often it was answered 415 while the image servers were well.
    refused: int = 0


class Engine:
    """Fetches every URL of the sources once; run() returns when all are done, stop() was called or nobody answers.

    `transport` has submit(token, path, refresh, want_body), wait(seconds) -> [(token, Answer)], in_flight and close().
    `first` are items beside those of the sources, fetched before them.
    `probe` is a path that answers 200, not from the cache, only while the image servers and their database are well.
    """

    # Requests of earlier attempts that wait for their time. Beyond, no new URL is begun: memory stays bounded.
    waiting_per_slot = 16

    def __init__(self, transport, sources: list[Source], *, probe: str, first: Sequence[Item] = (),
                 limits: Limits | None = None, journal: Journal | None = None, progress=None, clock=time.monotonic,
                 sleep=time.sleep):
        self._transport = transport
        self._sources = sources
        self._first = first
        self._probe = probe
        self._limits = limits or Limits()
        self._journal = journal or Journal()
        self._progress = progress
        self._clock = clock
        self._sleep = sleep
        self._concurrency = Concurrency(self._limits)
        self._tie = itertools.count()
        self._ready: collections.deque[_Task] = collections.deque()
        self._later: list[tuple[float, int, _Task]] = []
        self._suspects: list[_Task] = []
        self._rechecking: list[_Task] = []
        self._probing = False
        self._walks = collections.deque(Pages(source) for source in sources)
        self._page_asked = False
        self._failed_in_a_row = 0
        self.report = Report()

    def stop(self, reason: str) -> None:
        """End the run as soon as possible; safe in a signal handler."""
        self.report.stopped = self.report.stopped or reason

    def count(self) -> int:
        """Return how many URLs there are, by reading the lists alone; nothing is warmed."""
        total = len(self._first)
        for source in self._sources:
            pages = Pages(source)
            while not pages.finished and not self.report.stopped:
                total += len(pages.accept(self._fetch_page(pages.next_path()))) * source.urls_per_id
        return total

    def run(self, total: int | None = None) -> Report:
        """Warm everything. `total` (from count()) makes the time left known and the coverage of a cut run honest."""
        started = self._clock()
        self.report.total = total
        try:
            self._enqueue(self._first)
            while not self.report.stopped and self._busy():
                self._submit()
                self._handle(self._transport.wait(self._wait_seconds()))
        except WarmError as error:
            self.stop(str(error))
        self.report.seconds = self._clock() - started
        return self.report

    def _busy(self) -> bool:
        return bool(self._walks or self._ready or self._later or self._suspects or self._rechecking
                    or self._transport.in_flight)

    def _wait_seconds(self) -> float:
        if self._later and self._transport.in_flight < self._concurrency.allowed:
            return min(1.0, max(0.0, self._later[0][0] - self._clock()))
        return 1.0

    def _waiting(self) -> int:
        return len(self._later) + len(self._suspects) + len(self._rechecking)

    def _submit(self) -> None:
        if self._suspects and not self._probing:
            # One probe answers for all that were refused until now.
            self._probing, self._rechecking, self._suspects = True, self._suspects, []
            self._later_or_now(_Task(self._probe, refresh=True))
        while self._transport.in_flight < self._concurrency.allowed:
            task = self._next()
            if task is None:
                return
            self._transport.submit(task, task.path, task.refresh, task.item is None)

    def _next(self) -> _Task | None:
        if self._later and self._later[0][0] <= self._clock():
            return heapq.heappop(self._later)[2]
        if self._waiting() > self.waiting_per_slot * self._limits.concurrency:
            return None
        # The next page is asked for while the last one's URLs are still fetched.
        if self._walks and not self._page_asked and len(self._ready) < self._walks[0].source.page_size:
            self._page_asked = True
            return _Task(self._walks[0].next_path(), refresh=True)
        return self._ready.popleft() if self._ready else None

    def _later_or_now(self, task: _Task, seconds: float = 0.0) -> None:
        heapq.heappush(self._later, (self._clock() + seconds, next(self._tie), task))

    def _handle(self, answers: list[tuple[_Task, Answer]]) -> None:
        for task, answer in answers:
            self._concurrency.note(answer.overloaded, self._clock())
            if task.item is not None:
                self._handle_item(task, answer)
            elif task.path == self._probe:
                self._handle_probe(task, answer)
            else:
                self._handle_page(task, answer)
        if answers and self._progress is not None:
            self._progress.update(self.report.done, self.report.failed, total=self.report.total,
                                  text=f"{self.report.added} new")

    def _handle_page(self, task: _Task, answer: Answer) -> None:
        if not answer.fresh:
            self._again_or_raise(task, answer)
            return
        pages = self._walks[0]
        self._enqueue(pages.source.items(pages.accept(answer.body)))
        self._page_asked = False
        if pages.finished:
            self._walks.popleft()

    def _enqueue(self, items: Iterable[Item]) -> None:
        for item in items:
            if self._journal.skip(item):
                self.report.skipped += 1
            else:
                self._ready.append(_Task(item.path, item.refresh, item))

    def _handle_probe(self, task: _Task, answer: Answer) -> None:
        if not answer.fresh:
            self._again_or_raise(task, answer)
            return
        self._probing = False
        rechecked, self._rechecking = self._rechecking, []
        for suspect in rechecked:
            suspect.refused += 1
            # Refused, found well, refused again, found well again: it is the image and not the server.
            if suspect.refused >= 2:
                self._finish(suspect, Answer(UNSUPPORTED), "absent" if suspect.item.optional else "unsupported")
            else:
                self._later_or_now(suspect)

    def _handle_item(self, task: _Task, answer: Answer) -> None:
        if answer.fresh or (answer.status == 200 and not task.refresh):
            self._finish(task, answer, "cached")
        elif answer.status == UNSUPPORTED:
            self._suspects.append(task)
        elif answer.status == 404 and task.item.optional:
            self._finish(task, answer, "absent")
        elif answer.temporary and task.attempt < self._limits.attempts:
            self._again(task)
        else:
            self._finish(task, answer, "failed")

    def _again(self, task: _Task) -> None:
        self.report.retries += 1
        self._later_or_now(task, self._limits.pause_seconds(task.attempt))
        task.attempt += 1

    def _again_or_raise(self, task: _Task, answer: Answer) -> None:
        """Try a page or the probe again; without them nothing goes on, so they get twice the attempts."""
        if answer.temporary and task.attempt < 2 * self._limits.attempts:
            self._again(task)
        else:
            raise _no_answer(task.path, answer, task.attempt)

    def _finish(self, task: _Task, answer: Answer, outcome: str) -> None:
        self.report.note(task.item, answer, outcome)
        self._journal.finished(task.item, outcome)
        self._failed_in_a_row = self._failed_in_a_row + 1 if outcome == "failed" and answer.temporary else 0
        if self._failed_in_a_row >= self._limits.give_up_after:
            raise WarmError(f"{self._failed_in_a_row} URLs in a row failed, the last one with: {answer.cause}; "
                            "see to the image servers and run the warm again: what is cached stays")

    def _fetch_page(self, path: str) -> bytes:
        """Fetch a page of ids and wait for it."""
        for attempt in range(1, 2 * self._limits.attempts + 1):
            self._transport.submit(None, path, True, True)
            answers = []
            while not answers:
                answers = self._transport.wait(1.0)
            answer = answers[0][1]
            if answer.fresh:
                return answer.body
            if not answer.temporary or self.report.stopped:
                break
            self._sleep(self._limits.pause_seconds(attempt))
        raise _no_answer(path, answer, attempt)


def _no_answer(path: str, answer: Answer, attempts: int) -> WarmError:
    return WarmError(f"{path}: {answer.cause} after {attempts} attempt{'s' if attempts > 1 else ''}; "
                     "see to nginx on the cache host and to the image servers, then run the warm again")


class Transport:
    """Many requests in flight in one thread by libcurl. URLs are `base_url` (or, to refresh, `refresh_url`) + path."""

    def __init__(self, base_url: str, refresh_url: str, *, concurrency: int, timeout_seconds: float = 60.0,
                 connect_timeout_seconds: float = 5.0):
        if pycurl is None:
            raise WarmError("Python's pycurl is missing; install the package python3-pycurl")
        self._base_url = base_url.rstrip("/")
        self._refresh_url = refresh_url.rstrip("/")
        self._timeouts_milliseconds = int(connect_timeout_seconds * 1000), int(timeout_seconds * 1000)
        self._multi = pycurl.CurlMulti()
        # The default, four times the handles at work, grows and shrinks with them and closes good connections.
        self._multi.setopt(pycurl.M_MAXCONNECTS, concurrency + 1)
        self._idle = []
        self.in_flight = 0

    def submit(self, token, path: str, refresh: bool, want_body: bool) -> None:
        """Begin to fetch `path`; wait() will return (token, Answer) once."""
        handle = self._idle.pop() if self._idle else self._new_handle()
        handle.setopt(pycurl.URL, (self._refresh_url if refresh else self._base_url) + path)
        handle.token, handle.cache, handle.size_bytes, handle.body = token, "", 0, [] if want_body else None
        self._multi.add_handle(handle)
        self.in_flight += 1
        self._multi.perform()

    def wait(self, seconds: float) -> list[tuple[object, Answer]]:
        """Return what is answered, waiting for the first answer at most `seconds`."""
        until = time.monotonic() + seconds
        while True:
            self._multi.perform()
            answers = self._answers()
            left = until - time.monotonic()
            if answers or left <= 0:
                return answers
            # libcurl's own next time-out, in milliseconds, or -1 for none.
            due = self._multi.timeout()
            # -1: libcurl has no socket to wait for at the moment.
            if not self.in_flight or self._multi.select(min(left, due / 1000) if due >= 0 else left) == -1:
                time.sleep(min(left, 0.02))

    def close(self) -> None:
        """Drop all connections, answered or not."""
        with contextlib.suppress(pycurl.error):
            self._multi.close()

    def _new_handle(self):
        handle = pycurl.Curl()
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, self._timeouts_milliseconds[0])
        handle.setopt(pycurl.TIMEOUT_MS, self._timeouts_milliseconds[1])
        handle.setopt(pycurl.USERAGENT, "imaging.repository-warm")
        handle.setopt(pycurl.PROXY, "")

        def header(line: bytes) -> None:
            if line[:15].lower() == b"x-cache-status:":
                handle.cache = line[15:].strip().decode("latin-1")

        def body(part: bytes) -> None:
            handle.size_bytes += len(part)
            if handle.body is not None:
                handle.body.append(part)

        handle.setopt(pycurl.HEADERFUNCTION, header)
        handle.setopt(pycurl.WRITEFUNCTION, body)
        return handle

    def _answers(self) -> list[tuple[object, Answer]]:
        answers = []
        while True:
            queued, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                answers.append(self._finish(handle, Answer(handle.getinfo(pycurl.RESPONSE_CODE), handle.cache,
                                                           handle.size_bytes, "", b"".join(handle.body or ()))))
            for handle, number, text in failed:
                answers.append(self._finish(handle, Answer(0, error=_curl_error(number, text))))
            if not queued:
                return answers

    def _finish(self, handle, answer: Answer) -> tuple[object, Answer]:
        token, handle.token, handle.body = handle.token, None, None
        self._multi.remove_handle(handle)
        self._idle.append(handle)
        self.in_flight -= 1
        return token, answer


def _curl_error(number: int, text: str) -> str:
    """Return libcurl's error in words that do not differ from one URL to the next."""
    known = {
        pycurl.E_COULDNT_CONNECT: "connection refused",
        pycurl.E_OPERATION_TIMEDOUT: "time-out",
        pycurl.E_RECV_ERROR: "connection reset",
        pycurl.E_SEND_ERROR: "connection reset",
        pycurl.E_GOT_NOTHING: "connection closed without an answer",
        pycurl.E_PARTIAL_FILE: "answer cut off",
        pycurl.E_COULDNT_RESOLVE_HOST: "host name not resolved",
    }
    return known.get(number) or f"libcurl error {number}: {text}"
