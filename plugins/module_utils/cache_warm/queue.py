# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Tasks that wait for their turn: at once, later, or for a place of their route."""

from __future__ import annotations

import collections
import heapq
import itertools
from collections.abc import Callable, Mapping

from .items import Task


class Queue:
    """Tasks in the order in which they go.

    `urgent`: before all others. `ready`: as soon as there is room. `ceilings`: how many tasks of a route may be in flight
    at a time; what is beyond is held back, and others go before it.
    """

    def __init__(self, ceilings: Mapping[str, int], clock: Callable[[], float]) -> None:
        self.urgent: collections.deque[Task] = collections.deque()
        self.ready: collections.deque[Task] = collections.deque()
        self.ceilings = dict(ceilings)
        self._clock = clock
        self._later: list[tuple[float, int, Task]] = []
        self._tie = itertools.count()
        self._in_flight: collections.Counter[str] = collections.Counter()
        self._held: dict[str, collections.deque[Task]] = {}
        self._held_number = 0

    def __bool__(self) -> bool:
        return bool(self.ready or self.urgent or self._later or self._held_number)

    @property
    def waiting(self) -> int:
        """How many tasks wait for a time or for a place of their route."""
        return len(self._later) + self._held_number

    @property
    def next_at(self) -> float:
        """When the first of those that were put off may go."""
        return self._later[0][0] if self._later else float("inf")

    def put_off(self, task: Task, seconds: float) -> None:
        """Let a task go in so many seconds."""
        heapq.heappush(self._later, (self._clock() + seconds, next(self._tie), task))

    def next(self, now: float) -> Task | None:
        """Return the task that goes now, or None."""
        if self.urgent:
            return self.urgent.popleft()
        while self._later and self._later[0][0] <= now:
            task = heapq.heappop(self._later)[2]
            if self._admit(task):
                return task
        if not self.ceilings:
            return self.ready.popleft() if self.ready else None
        for route, held in self._held.items():
            if held and self._in_flight[route] < self.ceilings[route]:
                self._held_number -= 1
                self._in_flight[route] += 1
                return held.popleft()
        while self.ready:
            task = self.ready.popleft()
            if self._admit(task):
                return task
        return None

    def answered(self, task: Task) -> None:
        """Give the place of a task to another one of its route; only needed where there are ceilings."""
        if task.route in self.ceilings:
            self._in_flight[task.route] -= 1

    def take_out(self, unwanted: Callable[[Task], bool]) -> list[Task]:
        """Remove tasks that are ready, and return them."""
        taken = [task for task in self.ready if unwanted(task)]
        if taken:
            self.ready = collections.deque(task for task in self.ready if not unwanted(task))
        return taken

    def _admit(self, task: Task) -> bool:
        """Return whether a task may go now; if its route's ceiling is reached, it is held."""
        ceiling = self.ceilings.get(task.route)
        if ceiling is None:
            return True
        if self._in_flight[task.route] >= ceiling:
            self._held.setdefault(task.route, collections.deque()).append(task)
            self._held_number += 1
            return False
        self._in_flight[task.route] += 1
        return True
