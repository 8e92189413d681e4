# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The report of the last days: hit ratio and latency by zone and route, what each zone holds, what was missed most."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ..percentile import percentile
from .configuration import Configuration
from .log import log_lines, requests
from .zones import ZoneUse, measure

# What nginx says of an answer that came from the cache, and of one that an image server had to give. BYPASS is neither:
# somebody refreshed an entry.
HITS = frozenset({"HIT", "STALE", "UPDATING", "REVALIDATED"})
MISSES = frozenset({"MISS", "EXPIRED"})
# So many files of a zone are looked at.
SAMPLE_FILES = 50_000


def summarize(entries: Iterable[dict[str, Any]], since: datetime, top: int = 10) -> dict[str, Any]:
    """Return the requests since a time by route, and what was missed most often.

    ``{"routes": {route: {"requests", "hits", "misses", "bytes", "milliseconds"}}, "missed": [[path, times]]}``, where
    milliseconds is a Counter. Memory is bounded: of the missed paths only the most frequent are kept while there are
    very many.
    """
    routes: dict[str, dict[str, Any]] = {}
    missed: Counter[str] = Counter()
    for entry in entries:
        if datetime.fromisoformat(entry["time"]) < since:
            continue
        route = routes.get(entry["route"])
        if route is None:
            route = routes[entry["route"]] = dict.fromkeys(("requests", "hits", "misses", "bytes"), 0)
            route["milliseconds"] = Counter()
        route["requests"] += 1
        route["bytes"] += entry["bytes"]
        route["milliseconds"][round(entry["seconds"] * 1000)] += 1
        if entry["cache"] in HITS:
            route["hits"] += 1
        elif entry["cache"] in MISSES:
            route["misses"] += 1
            missed[entry["path"]] += 1
            if len(missed) > 200_000:
                missed = Counter(dict(missed.most_common(50_000)))
    return {"routes": routes, "missed": [list(pair) for pair in missed.most_common(top)]}


def figures(routes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several routes as one row: counts, hit ratio (None without requests) and latency."""
    requests_ = hits = misses = sent = 0
    milliseconds: Counter[float] = Counter()
    for route in routes:
        requests_ += route["requests"]
        hits += route["hits"]
        misses += route["misses"]
        sent += route["bytes"]
        milliseconds.update(route["milliseconds"])
    return {
        "requests": requests_,
        "hits": hits,
        "misses": misses,
        "sent_bytes": sent,
        "hit_ratio": round(hits / (hits + misses), 4) if hits + misses else None,
        "median_seconds": percentile(milliseconds, 0.5) / 1000,
        "p99_seconds": percentile(milliseconds, 0.99) / 1000,
    }


def statistics(configuration: Configuration, days: float) -> dict[str, Any]:
    """Return the report of the last days; see `table` for what is in it."""
    since = datetime.fromtimestamp(time.time() - days * 86400).astimezone()
    routes = configuration.routes
    found = summarize(requests(log_lines(configuration.log, since), routes, configuration.ports), since)
    zones = []
    warnings = []
    for zone in configuration.zones:
        inside = [values for name, values in found["routes"].items() if routes[name] == zone["name"]]
        use = measure(zone, SAMPLE_FILES)
        zones.append({**_held(use), **figures(inside)})
        warnings.append(use.warning())
    return {
        "since": since.isoformat(timespec="seconds"),
        "zones": zones,
        "routes": [
            {"name": name, "zone": routes[name], **figures([found["routes"][name]])}
            for name in routes
            if name in found["routes"]
        ],
        "missed": found["missed"],
        "warnings": [warning for warning in warnings if warning],
    }


def _held(use: ZoneUse) -> dict[str, Any]:
    """Return what a zone holds and may hold, as plain data; what is not known is left out."""
    values = {
        "name": use.name,
        "max_bytes": use.max_bytes,
        "max_entries": use.max_entries,
        "bytes": use.size_bytes,
        "entries": use.entries,
    }
    return {key: value for key, value in values.items() if value is not None}


def size(number: int) -> str:
    """Return bytes for people."""
    value, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1000 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.3g} {unit}"


def table(report: Mapping[str, Any]) -> str:
    """Return the report for people."""
    rows = [["zone", "route", "requests", "hits", "median", "p99", "sent", "holds", "of", "entries", "of"]]
    for zone in report["zones"]:
        holds = (
            [size(zone["bytes"]), size(zone["max_bytes"]), f"{zone['entries']:,}", f"{zone['max_entries']:,}"]
            if "bytes" in zone
            else ["?", size(zone["max_bytes"]), "?", f"{zone['max_entries']:,}"]
        )
        rows.append([zone["name"], "", *_figures(zone), *holds])
        rows += [
            ["", route["name"], *_figures(route), "", "", "", ""]
            for route in report["routes"]
            if route["zone"] == zone["name"]
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"Since {report['since']}, what visitors asked for:"]
    lines += [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
    if report["missed"]:
        lines += ["", "Missed most often:", *(f"{times:>9,}  {path}" for path, times in report["missed"])]
    return "\n".join([*lines, *([""] if report["warnings"] else []), *report["warnings"]])


def _figures(row: Mapping[str, Any]) -> list[str]:
    """Return the figures of a zone or route as cells."""
    if not row["requests"]:
        return ["0", "", "", "", ""]
    ratio = "" if row["hit_ratio"] is None else f"{100 * row['hit_ratio']:.1f} %"
    latency = [f"{1000 * row[name]:.0f} ms" for name in ("median_seconds", "p99_seconds")]
    return [f"{row['requests']:,}", ratio, *latency, size(row["sent_bytes"])]
