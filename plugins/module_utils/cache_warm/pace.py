# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How hard the warm presses: never harder than the image servers, the visitors, the clock and the zones allow."""

from __future__ import annotations

import collections
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from ..nginx_cache.zone_files import LEAVES, Zone, blocks, usage_bytes
from ..percentile import percentile
from .transport import USER_AGENT


@dataclass(frozen=True)
class Pressure:
    """How hard the warm may press at most; `windows` and `visitors_*` say when it may not."""

    concurrency: int = 8
    route_concurrency: Mapping[str, int] = field(default_factory=dict)
    windows: tuple[str, ...] = ()
    visitors_log: str = ""
    visitors_p95_limit_seconds: float = 0.0


class Concurrency:
    """How many requests may be in flight: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    Looked at after a round, which is at least as many answers as requests are allowed (so that the answers were asked
    for at the present pace) and at least `round_seconds`. It falls when the image servers refuse or fail, or when a
    route's mean latency is over `tolerance` times the best mean that was seen of it: beyond that, more requests only
    wait longer.
    """

    round_seconds = 0.1
    tolerance = 3.0
    # Differences below are not the image servers'.
    ordinary_seconds = 0.025
    # Of the answers of a round; single images that cannot be drawn are no overload.
    tolerated_failures = 0.1
    # How far a better round moves the best: one round of easy images must not make all others look slow.
    smoothing = 0.25

    def __init__(self, limit: int, now: float = 0.0) -> None:
        self._limit = limit
        self._allowed = max(1.0, limit / 2)
        self._round_began = now
        self._answers = 0
        self._failures = 0
        self._busiest = 0
        self._slowed = False
        # How many answers of a route, and their seconds together.
        self._latency: dict[str, list[float]] = {}
        self._best: dict[str, float] = {}

    @property
    def allowed(self) -> int:
        return int(self._allowed)

    def made(self, route: str, seconds: float) -> None:
        """Note the latency of an answer that an image server made, and not the cache."""
        entry = self._latency.get(route)
        if entry is None:
            entry = self._latency[route] = [0.0, 0.0]
        entry[0] += 1
        entry[1] += seconds

    def note(self, answers: int, failures: int, in_flight: int, now: float) -> None:
        """Note what came in: `failures` are answers 5xx and 429 and requests without an answer, among `answers`."""
        self._answers += answers
        self._failures += failures
        self._busiest = max(self._busiest, in_flight + answers)
        if self._answers < self._allowed or now - self._round_began < self.round_seconds:
            return
        slow = self._slow()
        failing = self._failures > self.tolerated_failures * self._answers
        if failing or slow:
            self._allowed = max(1.0, self._allowed * (0.5 if failing else 0.75))
            self._slowed = True
        # More is of no use, and proves nothing, while less than allowed is asked for.
        elif self._busiest >= self.allowed:
            # Until it is too much for the first time, twice as many (slow start, RFC 5681).
            step = max(1.0, self._limit / 32) if self._slowed else self._allowed
            self._allowed = min(float(self._limit), self._allowed + step)
        self._round_began = now
        self._answers = self._failures = self._busiest = 0

    def _slow(self) -> bool:
        """Compare the round's mean latency of each route with its best; one slow route is enough."""
        slow = False
        for route, entry in self._latency.items():
            number, total = entry
            if number < min(8, self._allowed):
                continue
            entry[0], entry[1] = 0.0, 0.0
            mean = total / number
            best = self._best.get(route, mean)
            if self._allowed < 2:
                # Alone in flight, this is how fast they are: they may have become slower for good.
                self._best[route] = mean
                continue
            self._best[route] = best + self.smoothing * min(0.0, mean - best)
            slow |= mean > self.tolerance * best + self.ordinary_seconds
        return slow


class Windows:
    """The local times of day at which requests may be made; `windows` like "22:30-06:00", none of them means always.

    Both ends equal means all day. The clock of the day is meant here, and nowhere else in the engine.
    """

    def __init__(self, windows: Iterable[str], localtime: Callable[[], time.struct_time] = time.localtime) -> None:
        self._windows = [tuple(_minutes(end) for end in window.split("-")) for window in windows]
        self._localtime = localtime

    def opens(self) -> str:
        """Return "" while a window is open, else when the next one opens, e.g. 22:30."""
        clock = self._localtime()
        now = clock.tm_hour * 60 + clock.tm_min
        day = 24 * 60
        for begin, end in self._windows:
            if (now - begin) % day < ((end - begin) % day or day):
                return ""
        if not self._windows:
            return ""
        begin = min((begin for begin, _ in self._windows), key=lambda begin: (begin - now) % day)
        return f"{begin // 60:02}:{begin % 60:02}"


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


class Visitors:
    """How long visitors wait, by the end of nginx's access log; a new file (rotation) is read from its start.

    Lines are JSON with `seconds` and `agent` (roles/cache/templates/nginx.conf.j2); other lines and our own are
    skipped.
    """

    window_seconds = 30.0
    # Fewer requests in the window say nothing about the servers.
    least_requests = 10
    most_requests = 10_000
    # Of one look; what is beyond is skipped, because old lines say nothing.
    most_bytes = 4 << 20

    def __init__(self, path: str, limit_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._stream: BinaryIO | None = None
        self._half = b""
        self._waited: collections.deque[tuple[float, float]] = collections.deque(maxlen=self.most_requests)
        if path and limit_seconds:
            self._open(at_end=True)

    def waiting(self) -> bool:
        """Return whether 95 % of the visitors' requests of the window are not answered within the limit."""
        if not (self._path and self._limit_seconds):
            return False
        self._read()
        now = self._clock()
        while self._waited and self._waited[0][0] < now - self.window_seconds:
            self._waited.popleft()
        if len(self._waited) < self.least_requests:
            return False
        return percentile((seconds for _, seconds in self._waited), 0.95) > self._limit_seconds

    def _open(self, at_end: bool) -> None:
        try:
            self._stream = open(self._path, "rb")
            if at_end:
                self._stream.seek(0, os.SEEK_END)
        except OSError:
            # Not there yet, or between two files of a rotation.
            self._stream = None
        self._half = b""

    def _read(self) -> None:
        if self._stream is not None:
            size = os.fstat(self._stream.fileno()).st_size
            if size < self._stream.tell():
                # Truncated (copytruncate).
                self._stream.seek(0)
                self._half = b""
            elif size - self._stream.tell() > self.most_bytes:
                self._stream.seek(size - self.most_bytes)
                self._half = b""
            self._take(self._stream.read(self.most_bytes))
        try:
            identity = os.stat(self._path)
        except OSError:
            return
        if self._stream is None or not os.path.samestat(identity, os.fstat(self._stream.fileno())):
            if self._stream is not None:
                self._stream.close()
            self._open(at_end=False)
            if self._stream is not None:
                self._take(self._stream.read(self.most_bytes))

    def _take(self, data: bytes) -> None:
        lines = (self._half + data).split(b"\n")
        self._half = lines.pop()
        now = self._clock()
        for line in lines:
            try:
                entry = json.loads(line)
                if not entry["agent"].startswith(USER_AGENT):
                    self._waited.append((now, float(entry["seconds"])))
            except (ValueError, LookupError, TypeError, AttributeError):
                continue


class Room:
    """Which zones are full: what is stored beyond a zone's bound only evicts what was stored before.

    A zone is measured once, then what is added is counted; when the sum comes near the bound it is measured again,
    because visitors fill it, too, and nginx removes what nobody asked for.
    """

    # Of the bound: nginx's cache manager acts at the bound itself.
    margin = 0.02
    # So many of the 4,096 directories are measured at first; all of them when it matters.
    leaves = 256
    # nginx's header, the key and the image server's headers before each body.
    header_bytes = 900
    block_bytes = 4096

    def __init__(
        self,
        zones: Iterable[Zone],
        min_free_bytes: dict[str, int] | None = None,
        measure: Callable[[Zone, int], int] = usage_bytes,
    ) -> None:
        self._zones = {zone.name: zone for zone in zones}
        self._min_free_bytes = min_free_bytes or {}
        self._measure = measure
        self._used = {name: measure(zone, self.leaves) for name, zone in self._zones.items()}
        # Above this the estimate is not trusted.
        self._measure_at = {name: self._bound(zone) * 0.9 for name, zone in self._zones.items()}
        self._stored: dict[str, list[int]] = {name: [0, 0] for name in self._zones}
        # Zones without room, and why.
        self.full: dict[str, str] = {}

    def _bound(self, zone: Zone) -> float:
        return zone.max_size_bytes * (1 - self.margin)

    def stored(self, name: str, size_bytes: int) -> bool:
        """Note an answer of `size_bytes` that nginx says it has added to a zone; True: look() at it soon."""
        entry = self._stored.get(name)
        if entry is None:
            return False
        on_disk = blocks(size_bytes + self.header_bytes, self.block_bytes)
        entry[0] += 1
        entry[1] += on_disk
        self._used[name] += on_disk
        return self._used[name] >= self._measure_at[name] and name not in self.full

    def look(self, expected: dict[str, int], total: int = 0) -> None:
        """Find full zones; about once a second. `expected`: how many pages each zone shall hold, where that is known.

        `total`: how many pages there are; where it is not known for a zone, it gets its share of them.
        """
        for name, zone in self._zones.items():
            if name in self.full:
                continue
            reason = self._disk_reason(zone)
            if not reason and self._used[name] >= self._measure_at[name]:
                self._used[name] = self._measure(zone, LEAVES)
                reason = self._size_reason(zone, expected.get(name) or self._share(name) * total)
                self._measure_at[name] = max(self._used[name] + 0.01 * zone.max_size_bytes, self._bound(zone) * 0.9)
                self._measure_at[name] = min(self._measure_at[name], self._bound(zone))
            if reason:
                self.full[name] = reason

    def _share(self, name: str) -> float:
        """Return which fraction of what was stored went into a zone."""
        return self._stored[name][0] / max(1, sum(number for number, _ in self._stored.values()))

    def _size_reason(self, zone: Zone, expected: float) -> str:
        if self._used[zone.name] < self._bound(zone):
            return ""
        number, stored = self._stored[zone.name]
        used, bound = mebibytes(self._used[zone.name]), mebibytes(zone.max_size_bytes)
        sentence = (
            f"zone {zone.name} is full ({used} of {bound} MiB); what is warmed now would push out what "
            "was warmed before"
        )
        if not (number and expected):
            return f"{sentence}; raise its max_size_mib and warm again"
        needed = stored / number * expected / (1 - self.margin)
        needed_mib = math.ceil(needed / 2**20 / 10) * 10
        return (
            f"{sentence}; its {expected:,.0f} pages need about {needed_mib:,} MiB: raise its max_size_mib, "
            "and the volume where that is too small, and warm again"
        )

    def _disk_reason(self, zone: Zone) -> str:
        try:
            system = os.statvfs(zone.directory)
        except OSError:
            return ""
        free = system.f_bavail * system.f_frsize
        # As nginx does, which evicts when less than min_free is left.
        wanted = max(self._min_free_bytes.get(zone.name, 0), 16 * system.f_frsize)
        if free >= wanted:
            return ""
        return (
            f"the disk of zone {zone.name} ({zone.directory}) is full: {mebibytes(free)} MiB are free, "
            f"{mebibytes(wanted)} MiB must stay free; enlarge the volume and warm again"
        )


def mebibytes(size_bytes: float) -> int:
    """Return a size in whole MiB, rounded up."""
    return math.ceil(size_bytes / 2**20)
