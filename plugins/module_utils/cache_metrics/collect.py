# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Counts what is new in the log, and writes metrics for Prometheus' textfile collector."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import files, prometheus
from ..prometheus import Distribution, Family
from .configuration import Configuration
from .log import new_lines, requests
from .zones import ZoneUse, measure

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# So many files of a zone are looked at once a minute.
SAMPLE_FILES = 2000


def count(entries: Iterable[dict[str, Any]], counters: dict[str, Any]) -> None:
    """Add requests to the counters by route and cache status: ``{"<route> <status>": {...}}``, changed in place."""
    for entry in entries:
        key = f"{entry['route']} {entry['cache']}"
        counter = counters.get(key)
        if counter is None:
            counter = counters[key] = {"requests": 0, "bytes": 0, "seconds": 0.0, "buckets": [0] * len(BUCKETS_SECONDS)}
        seconds = entry["seconds"]
        counter["requests"] += 1
        counter["bytes"] += entry["bytes"]
        counter["seconds"] += seconds
        for number, bound in enumerate(BUCKETS_SECONDS):
            if seconds <= bound:
                counter["buckets"][number] += 1
                break


def families(counters: Mapping[str, Any], routes: Mapping[str, str], zones: Iterable[ZoneUse]) -> list[Family]:
    """Return the metrics; what a zone holds only where its files could be looked at."""
    asked = Family("cache_requests", "counter", "Requests of visitors by what the cache said.")
    sent = Family("cache_sent_bytes", "counter", "Bytes of bodies sent to visitors.")
    took = Family("cache_request_seconds", "histogram", "Time from a visitor's request to the last byte.")
    for key in sorted(counters):
        route, status = key.split(" ")
        if route not in routes:
            continue
        counter, labels = counters[key], {"zone": routes[route], "route": route, "status": status}
        bounds = dict(zip(BUCKETS_SECONDS, itertools.accumulate(counter["buckets"]), strict=True))
        asked.add(counter["requests"], **labels)
        sent.add(counter["bytes"], **labels)
        took.add(Distribution(bounds, counter["requests"], round(counter["seconds"], 3)), **labels)
    held = Family("cache_zone_bytes", "gauge", "What the zone's files take, extrapolated from a sample.")
    may_hold = Family("cache_zone_max_bytes", "gauge", "What the zone's files may take.")
    entries = Family("cache_zone_entries", "gauge", "How many entries the zone holds, extrapolated from a sample.")
    keys = Family("cache_zone_max_entries", "gauge", "How many entries the zone has keys for.")
    for zone in zones:
        held.add(zone.size_bytes, zone=zone.name)
        may_hold.add(zone.max_bytes, zone=zone.name)
        entries.add(zone.entries, zone=zone.name)
        keys.add(zone.max_entries, zone=zone.name)
    return [asked, sent, took, held, may_hold, entries, keys]


def collect(configuration: Configuration) -> None:
    """Count what is new in the log and write the metrics.

    Counters and offsets are one file that is replaced at once: a kill loses nothing and counts nothing twice.
    """
    directory = Path(configuration.state_directory)
    state_file = directory / "state.json"
    offsets: dict[str, int] = {}
    counters: dict[str, Any] = {}
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
        offsets, counters = dict(state["offsets"]), dict(state["counters"])
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        print(f"{state_file}: cannot be read; counting begins anew", file=sys.stderr)
    # Debian's logrotate leaves the last file as it is for a day (delaycompress).
    lines = new_lines((f"{configuration.log}.1", configuration.log), offsets)
    count(requests(lines, configuration.routes, configuration.ports), counters)
    zones = [measure(zone, SAMPLE_FILES) for zone in configuration.zones]
    files.write(state_file, json.dumps({"offsets": offsets, "counters": counters}))
    prometheus.write(directory / "cache.prom", families(counters, configuration.routes, zones))
