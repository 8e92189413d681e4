# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How many pages there are, and in which zones: for the estimate of the time, and for the size that a zone should have."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..nginx_cache.keys import Routes
from . import sources as source_kinds
from .share import Share

# Of so many pages one is looked at to tell its zone.
KEY_STEP = 31
# Kinds of sources that name pages which were never meant for the image servers.
LOOSE_KINDS = frozenset({"access_log", "sitemap"})


@dataclass
class Total:
    """How many pages there are, and about how many of them in each zone."""

    pages: int = 0
    zones: collections.Counter[str] = field(default_factory=collections.Counter)


def is_loose(entry: Mapping[str, Any]) -> bool:
    """Return whether a source may name pages that no route serves."""
    return entry.get("kind", "list") in LOOSE_KINDS


def count(
    entries: Iterable[Mapping[str, Any]],
    routes: Routes,
    share: Share,
    readers: int,
    fetch: Callable[[str], bytes],
    stopped: Callable[[], bool],
) -> Total:
    """Return how many pages the sources have on this host; reads all of them to their end, or until `stopped`."""
    total = Total()
    for entry in entries:
        _count(entry, routes, share, readers, fetch, stopped, total)
    return total


def _count(
    entry: Mapping[str, Any],
    routes: Routes,
    share: Share,
    readers: int,
    fetch: Callable[[str], bytes],
    stopped: Callable[[], bool],
    total: Total,
) -> None:
    stream = source_kinds.open_source(entry, fetch)
    if entry.get("readers"):
        total.pages += readers * sum(1 for _ in stream)
        return
    iterator = iter(stream)
    first = next(iterator, None)
    if first is not None and stream.approximate_total is not None:
        total.pages += stream.approximate_total // share.count
        return
    pages = looked_at = 0
    zones: collections.Counter[str] = collections.Counter()
    loose = is_loose(entry)
    # Where every page counts, few of them tell which zones they are for.
    step = 1 if share.count > 1 or loose else KEY_STEP
    for number, item in enumerate(itertools.chain([] if first is None else [first], iterator)):
        if number % step:
            pages += 1
            continue
        key = routes.key(item.path)
        if key is None:
            pages += not loose
        elif share.holds(key):
            pages += 1
            looked_at += 1
            zones[key.zone] += 1
        if stopped():
            break
    for zone, found in zones.items():
        total.zones[zone] += found * pages // looked_at
    total.pages += pages
