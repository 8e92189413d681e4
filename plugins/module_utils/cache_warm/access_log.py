# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The pages that visitors asked for, by an access log."""

from __future__ import annotations

import datetime
import glob
import json
import re
from collections.abc import Iterator

from .items import Item
from .lines import LineReader
from .stream import Rubbish, Stream, page_path

# So many different pages of an access log are told apart, the most visited ones; twice as many for a moment.
LOG_COUNTERS = 100_000
# The warm's own requests begin their User-Agent with this and are no visits.
OWN_AGENT = "imaging.repository"
# A line of nginx's and Apache's format "combined", as the site before this one may have written it.
_COMBINED = re.compile(
    rb'\S+ \S+ \S+ \[(\d\d)/([A-Z][a-z]{2})/(\d{4}):[^\]]*\] "([A-Z]+) (\S+)[^"]*" (\d{3}) .*?'
    rb'(?:"([^"]*)")?\s*$'
).match
_MONTHS = {
    month: f"{number:02}"
    for number, month in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), start=1
    )
}
# Answers to visits of a page that is there.
_VISITED = frozenset({200, 206, 304})


class AccessLog(Stream):
    """The pages that visitors asked for, the most visited first; the site's own format, or the format combined.

    Which pages are counted is decided by a Misra-Gries summary in steps (J. Misra, D. Gries, Finding repeated elements,
    1982): memory is bounded, and a page that makes more than one in LOG_COUNTERS visits is never missed. Begun anew, it
    is counted anew: the order may have changed, what is finished the journal knows.
    """

    def __iter__(self) -> Iterator[Item]:
        paths = self._most_visited()
        self.approximate_total = len(paths)
        yield from map(self._item, paths)

    def _most_visited(self) -> list[str]:
        counts: dict[str, int] = {}
        for path in self._visits():
            counts[path] = counts.get(path, 0) + 1
            if len(counts) >= 2 * LOG_COUNTERS:
                least = sorted(counts.values(), reverse=True)[LOG_COUNTERS]
                counts = {path: count - least for path, count in counts.items() if count > least}
        return sorted(counts, key=lambda path: (-counts[path], path))

    def _visits(self) -> Iterator[str]:
        days = self._entry.get("days")
        first_day = (datetime.date.today() - datetime.timedelta(days=days)).isoformat() if days else ""
        for pattern in self._entry["files"]:
            files = sorted(glob.glob(pattern))
            if not files:
                self._skip(f"{pattern}: names no file")
            for file in files:
                reader = LineReader(file)
                # Not written to since.
                if datetime.date.fromtimestamp(reader.identity[1] / 1e9).isoformat() < first_day:
                    continue
                for line in reader.lines():
                    try:
                        visit = _visit(line)
                        if visit and visit[0] >= first_day:
                            yield page_path(visit[1])
                    except ValueError as error:
                        reason = str(error) if isinstance(error, Rubbish) else "no line of an access log"
                        self._skip(f"{file} line {reader.number + 1}: {reason}")


def _visit(line: bytes | None) -> tuple[str, str] | None:
    """Return (day, path) of a line of an access log, None if it is no visit of a page; raise ValueError for rubbish."""
    if line is None:
        raise Rubbish("too long")
    if line.startswith(b"{"):
        fields = json.loads(line.decode("utf-8", "surrogateescape"))
        try:
            # A request that no route served is of no page of the image servers.
            served = fields["method"] == "GET" and fields["status"] in _VISITED and fields["route"]
            if not served or fields["agent"].startswith(OWN_AGENT):
                return None
            return fields["time"][:10], fields["path"]
        except (LookupError, TypeError, AttributeError):
            raise Rubbish("no line of the cache's log") from None
    found = _COMBINED(line)
    if not found:
        raise Rubbish("no line of an access log")
    day, month, year, method, path, status, agent = found.groups()
    if method != b"GET" or int(status) not in _VISITED or (agent or b"").startswith(OWN_AGENT.encode()):
        return None
    return f"{int(year)}-{_MONTHS.get(month, '00')}-{int(day):02}", path.decode("utf-8", "surrogateescape")
