# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Writes that need each other, carried out with as much overlap as that allows."""

from __future__ import annotations

import graphlib
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from .cloud import CloudError
from .kinds import KINDS
from .shapes import Resource

# Kind and name of what a step makes.
Key = tuple[str, str]


class Lists(Protocol):
    """A cloud, as far as waiting needs it."""

    def list(self, kind: str) -> list[Resource]:
        """Return all resources of a kind."""


@dataclass(frozen=True)
class Until:
    """When a step is over: the resource of that id, or None once it is gone, is ``ready``."""

    kind: str
    ready: Callable[[Resource | None], bool]
    seconds: float


@dataclass(frozen=True)
class _Step:
    do: Callable[[], Any]
    until: Until | None
    position: int


@dataclass(frozen=True)
class _Waiting:
    identifier: str
    until: Until
    since: float


class Work:
    """Steps that need each other, each with a key ``(kind, name)`` and the resource that it makes as its result.

    What can run does, in a pool. What the cloud takes its time for is watched by one listing per kind for all together.
    A step that fails keeps those that need it from starting; the others go on, because a second run finds what is made.
    """

    def __init__(
        self,
        cloud: Lists,
        parallel: int,
        watch: Callable[[Mapping[Key, tuple[Resource | None, float]]], None] = lambda _waiting: None,
    ):
        self.results: dict[Key, Any] = {}
        self._cloud, self._parallel, self._watch = cloud, parallel, watch
        self._order: graphlib.TopologicalSorter[Key] = graphlib.TopologicalSorter()
        self._steps: dict[Key, _Step] = {}
        self._ready: list[Key] = []
        self._running: dict[Future[Any], Key] = {}
        self._polling: dict[Future[list[Resource]], tuple[str, float]] = {}
        self._waiting: dict[Key, _Waiting] = {}
        self._next_poll: dict[str, float] = {}
        self._errors: list[str] = []

    def have(self, key: Key, resource: Any) -> None:
        """Note what is there already."""
        self.results[key] = resource

    def add(self, key: Key, do: Callable[[], Any], needs: Iterable[Key] = (), until: Until | None = None) -> None:
        """Add a step; earlier ones go first where several can run. With ``until``, do() returns what is waited for."""
        self._steps[key] = _Step(do, until, len(self._steps))
        self._order.add(key, *needs)

    def run(self) -> None:
        """Return when all is done. Raises CloudError with all that failed."""
        self._order.prepare()
        with ThreadPoolExecutor(self._parallel + len(KINDS)) as pool:
            while True:
                self._start(pool)
                self._poll(pool)
                busy = [*self._running, *self._polling]
                if not busy and not self._waiting:
                    # Steps that are left need one that failed.
                    break
                if busy:
                    wait(busy, timeout=self._pause(), return_when=FIRST_COMPLETED)
                else:
                    time.sleep(self._pause() or 0)
                self._finish_steps()
                self._finish_polls()
        if self._errors:
            raise CloudError("\n".join(self._errors))

    def _start(self, pool: ThreadPoolExecutor) -> None:
        while new := self._order.get_ready():
            self._ready += [key for key in new if key not in self.results]
            # What is there already frees what needs it.
            self._order.done(*(key for key in new if key in self.results))
        self._ready.sort(key=lambda key: self._steps[key].position)
        while self._ready and len(self._running) < self._parallel:
            key = self._ready.pop(0)
            self._running[pool.submit(self._steps[key].do)] = key

    def _succeed(self, key: Key, result: Any) -> None:
        self.results[key] = result
        self._order.done(key)

    def _fail(self, key: Key, error: CloudError) -> None:
        self._errors.append(f"{' '.join(key)}: {error}")

    def _idle_kinds(self) -> set[str]:
        """Return the kinds that are waited for and not being listed right now."""
        return {entry.until.kind for entry in self._waiting.values()} - {kind for kind, _at in self._polling.values()}

    def _poll(self, pool: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        for kind in self._idle_kinds():
            if now >= self._next_poll.get(kind, 0):
                self._polling[pool.submit(self._cloud.list, kind)] = (kind, now)

    def _pause(self) -> float | None:
        """Return the seconds until something must be listed, or None."""
        times = [self._next_poll.get(kind, 0) for kind in self._idle_kinds()]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _finish_steps(self) -> None:
        for future in [future for future in self._running if future.done()]:
            key = self._running.pop(future)
            until = self._steps[key].until
            try:
                result = future.result()
            except CloudError as error:
                self._fail(key, error)
                continue
            if until:
                now = time.monotonic()
                self._waiting[key] = _Waiting(result["id"], until, now)
                self._next_poll[until.kind] = min(self._next_poll.get(until.kind, now + 1), now + 1)
            else:
                self._succeed(key, result)

    def _finish_polls(self) -> None:
        for future in [future for future in self._polling if future.done()]:
            kind, started = self._polling.pop(future)
            # A listing that began before a step was over does not show its effect.
            waiting = {
                key: entry
                for key, entry in self._waiting.items()
                if entry.until.kind == kind and entry.since <= started
            }
            try:
                listed = {resource["id"]: resource for resource in future.result()}
            except CloudError as error:
                for key in waiting:
                    self._fail(key, error)
                    del self._waiting[key]
                continue
            now = time.monotonic()
            self._watch({key: (listed.get(entry.identifier), now - entry.since) for key, entry in waiting.items()})
            for key, entry in waiting.items():
                self._look_at(key, entry, listed.get(entry.identifier), now)
            # As often as the cloud answers with ease; seldom for what takes hours.
            youngest = min((now - entry.since for entry in waiting.values()), default=0)
            self._next_poll[kind] = now + min(15, max(0.5, 4 * (now - started), youngest / 20))

    def _look_at(self, key: Key, entry: _Waiting, resource: Resource | None, now: float) -> None:
        try:
            if entry.until.ready(resource):
                self._succeed(key, resource)
            elif now - entry.since < entry.until.seconds:
                return
            else:
                status = (resource or {}).get("status", "not listed")
                raise CloudError(
                    f"still {status} after {entry.until.seconds:.0f} s; look at it with openstack "
                    f"{entry.until.kind} show {entry.identifier}, then run this again: it goes on waiting"
                )
        except CloudError as error:
            self._fail(key, error)
        del self._waiting[key]
