# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is warmed: one page of the site, and its request on the way through the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .answer import Answer


class Item(NamedTuple):
    """One URL to warm: its path with query as it is sent to nginx, and the name of the source it is from.

    `optional`: its absence (404, or a status of cannot_draw) is ordinary. `refresh`: fetched anew even where it is
    cached.
    """

    path: str
    source: str
    optional: bool = False
    refresh: bool = False


@dataclass(slots=True)
class Segment:
    """A stretch of a source: when all of its pages are finished, the source may be resumed at its cursor.

    A page that is left because its zone is full stays unfinished: who resumes this job meets it again.
    """

    source: str
    cursor: object = None
    unfinished: int = 0


class Task:
    """A request on its way through the engine; `handle` is told the answer.

    `page`, `route`, `zone` and `segment` are those of a page. `refused`: how often a status of cannot_draw was answered
    while the image servers were well; `answer`: the last one.
    """

    __slots__ = ("answer", "attempt", "handle", "headers", "item", "page", "refused", "route", "segment", "url", "zone")
    want_body = False

    def __init__(
        self,
        handle: Handle,
        url: bytes,
        item: Item,
        page: int = 0,
        route: str = "",
        zone: str = "",
        segment: Segment | None = None,
        headers: tuple[str, ...] = (),
    ) -> None:
        self.handle = handle
        self.url = url
        self.item = item
        self.page = page
        self.route = route
        self.zone = zone
        self.segment = segment
        self.headers = headers
        self.attempt = 1
        self.refused = 0
        self.answer: Answer | None = None


class Fetch(Task):
    """A request for a body: a list, for the sources."""

    __slots__ = ()
    want_body = True


Handle = Callable[[Task, Answer], None]
# No page: a probe, a list.
NO_ITEM = Item("", "")
