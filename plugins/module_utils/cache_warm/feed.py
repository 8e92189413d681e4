# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which pages of the sources need a request."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..nginx_cache.keys import Key, Routes
from ..nginx_cache.zone_files import Zone, cached
from . import sources as source_kinds
from .addresses import Addresses
from .count import is_loose
from .items import Handle, Item, Segment, Task
from .journal import fingerprint
from .ledger import Ledger
from .pace import Room
from .proof import Proof
from .queue import Queue
from .share import Share

UNSERVED = "no route of the cache policy serves it"
BATCH_SIZE = 500


@dataclass(frozen=True)
class Reader:
    """An image server that keeps a cache of its own: its URL, and the header lines that it is asked with."""

    url: str
    headers: tuple[str, ...]


@dataclass(frozen=True)
class Pages:
    """What is to be warmed. `skip_cached`: not what is cached by its file. `refresh`: everything is fetched anew."""

    sources: Sequence[Mapping[str, Any]]
    share: Share
    readers: Sequence[Reader]
    skip_cached: bool
    refresh: bool


class Feed:
    """Takes batches from the sources, and puts what needs a request into the queue.

    `page`, `reader_page`: who is told the answers. `room`: set once the zones are measured.
    """

    def __init__(
        self,
        pages: Pages,
        routes: Routes,
        zones: Mapping[str, Zone],
        addresses: Addresses,
        ledger: Ledger,
        proof: Proof,
        queue: Queue,
        page: Handle,
        reader_page: Handle,
        fetch: Callable[[str], bytes],
    ) -> None:
        self.room: Room | None = None
        # True while a source reads a list: others go on meanwhile, but nobody may ask it for more.
        self.busy = False
        self._pages = pages
        self._routes = routes
        self._zones = zones
        self._addresses = addresses
        self._ledger = ledger
        self._proof = proof
        self._queue = queue
        self._page = page
        self._reader_page = reader_page
        self._fetch = fetch
        self._skip_cached = pages.skip_cached
        # What failed in an earlier run is asked for first; the sources may name it once more.
        self._tried_again: set[int] = set()
        self._batches: Iterator[tuple[Mapping[str, Any], Segment | None, list[Item]]] | None = None

    @property
    def has_more(self) -> bool:
        """Whether the sources may name more pages."""
        return self._batches is not None

    def begin(self) -> None:
        """Begin with the first source."""
        self._batches = self._items()

    def take(self) -> None:
        """Take one batch from the sources."""
        if self._batches is None:
            return
        self.busy = True
        try:
            found = next(self._batches, None)
        finally:
            self.busy = False
        if found is None:
            self._batches = None
            return
        entry, segment, batch = found
        if entry.get("readers"):
            self._take_for_readers(segment, batch)
        else:
            self._take_pages(entry, segment, batch)

    def leave_full_zones(self, full: Mapping[str, str]) -> None:
        """Take what waits for a full zone out of the queue."""
        refresh = self._pages.refresh
        for task in self._queue.take_out(lambda task: task.zone in full and not (refresh or task.item.refresh)):
            self._ledger.left(task)

    def _items(self) -> Iterator[tuple[Mapping[str, Any], Segment | None, list[Item]]]:
        """Yield the items of all sources in batches, first those that failed in an earlier run of the job."""
        journal, report = self._ledger.journal, self._ledger.report
        entries = {entry["name"]: entry for entry in self._pages.sources}
        if journal.resumed:
            failed = [failure.item for failure in journal.failures()]
            self._tried_again = {self._page_number(item.path) for item in failed}
            by_source = operator.attrgetter("source")
            for name, group in itertools.groupby(sorted(failed, key=by_source), by_source):
                if name in entries:
                    yield entries[name], None, list(group)
        for entry in source_kinds.in_order(self._pages.sources):
            stream = source_kinds.open_source(entry, self._fetch, journal.cursor(entry["name"]))
            iterator = iter(stream)
            while batch := list(itertools.islice(iterator, BATCH_SIZE)):
                yield entry, self._ledger.begin_segment(entry["name"], stream.cursor), batch
            report.problems += stream.problems

    def _page_number(self, path: str) -> int:
        key = self._routes.key(path)
        return fingerprint(path) if key is None else key.fingerprint

    def _keyed(self, entry: Mapping[str, Any], batch: list[Item], again: set[int]) -> list[tuple[Item, Key, int]]:
        """Return the pages of a batch that this host warms, with their keys."""
        key_of, share = self._routes.key, self._pages.share
        alone = share.count == 1
        keyed = []
        for item in batch:
            key = key_of(item.path)
            if key is None:
                if not is_loose(entry) and not (again and fingerprint(item.path) in again):
                    self._ledger.failed_at_once(item, fingerprint(item.path), UNSERVED)
            elif alone or share.holds(key):
                keyed.append((item, key, key.fingerprint))
        return keyed

    def _take_pages(self, entry: Mapping[str, Any], segment: Segment | None, batch: list[Item]) -> None:
        again = self._tried_again if segment is not None else set()
        keyed = self._keyed(entry, batch, again)
        ledger, proof, zones = self._ledger, self._proof, self._zones
        ledger.note_kept()
        known, pending = ledger.journal.finished([page for _, _, page in keyed]), ledger.pending
        full = self.room.full if self.room else {}
        refresh_all, address_of, handle, ready = (
            self._pages.refresh,
            self._addresses.page,
            self._page,
            self._queue.ready,
        )
        begun = 0
        for item, key, page in keyed:
            if page in again:
                continue
            if page in known or page in pending:
                ledger.named_again(page)
                continue
            refresh = refresh_all or item.refresh
            if not refresh and zones:
                zone = zones.get(key.zone)
                if zone is not None:
                    if self._skip_cached and self._is_cached(zone, key):
                        ledger.skipped(page)
                        proof.skipped(item.path, key.route)
                        continue
                    if key.zone in full:
                        ledger.left_at_once(segment)
                        continue
            pending.add(page)
            begun += 1
            ready.append(Task(handle, address_of(item.path, refresh), item, page, key.route, key.zone, segment))
        if segment is not None:
            segment.unfinished += begun

    def _is_cached(self, zone: Zone, key: Key) -> bool:
        try:
            return cached(zone, key)
        except OSError as error:
            self._skip_cached = False
            self._ledger.report.problems.append(
                f"{zone.directory}: {error.strerror}; every page is asked for, also "
                "where it is cached: let the user that warms read this directory"
            )
            return False

    def _take_for_readers(self, segment: Segment | None, batch: list[Item]) -> None:
        """Every item is asked of every reader, the readers in turn."""
        ledger, ready = self._ledger, self._queue.ready
        ledger.note_kept()
        asked = [
            (item, reader, fingerprint(reader.url + item.path)) for item in batch for reader in self._pages.readers
        ]
        known = ledger.journal.finished(page for _, _, page in asked)
        for item, reader, page in asked:
            if page in known or page in ledger.pending:
                ledger.named_again(page)
                continue
            ledger.begin(page, segment)
            url = (reader.url + item.path).encode("utf-8", "surrogateescape")
            ready.append(Task(self._reader_page, url, item, page, reader.url, "", segment, reader.headers))
