# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Is it true? Pages that were kept are asked for again: one a second meanwhile, a sample of them in the end."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .addresses import Addresses
from .answer import STALE, Answer, is_temporary
from .items import Handle, Item, Task
from .journal import JournalError
from .limits import Limits, Stopped
from .queue import Queue
from .report import Report
from .sample import Sample

# Shorter than this, a page may have expired when it is asked for again.
SHORTEST_VALID_SECONDS = 60.0


@dataclass(frozen=True)
class SampleSize:
    """How many pages are asked for again in the end: a fraction of them, and at least a number."""

    fraction: float = 0.01
    minimum: int = 1000

    def probability(self, total: int) -> float:
        """Return with which probability a page comes into the sample, so that it is hardly ever smaller than wanted."""
        wanted = max(float(self.minimum), total * self.fraction)
        wanted += 4 * float(wanted**0.5)
        return 1.0 if wanted >= total else wanted / total


class Proof:
    """Asks again. `valid`: how long nginx keeps the pages of a route, in seconds, by the route's name.

    `doubtful`: whether nginx may have kept less than it said: then the next run believes the zones' files, not the
    journal.
    """

    def __init__(
        self,
        addresses: Addresses,
        valid: Mapping[str, float],
        sample: Sample | None,
        queue: Queue,
        report: Report,
        limits: Limits,
        attempts: int,
    ) -> None:
        self.doubtful = False
        self.probability = 0.0
        self._addresses = addresses
        self._valid = valid
        self._sample = sample
        self._queue = queue
        self._report = report
        self._limits = limits
        self._attempts = attempts
        self._lost_in_a_row = 0
        self._just_kept: Task | None = None
        self._check: Task | None = None

    def kept(self, task: Task, outcome: str) -> None:
        """Take note of a page that nginx says it keeps."""
        if outcome != "hit" and self._just_kept is None and self._valid[task.route] >= SHORTEST_VALID_SECONDS:
            self._just_kept = task
        if random.random() < self.probability:
            self.remember(task.item.path, task.route)

    def skipped(self, path: str, route: str) -> None:
        """Take note of a page that is cached by its file."""
        if random.random() < self.probability:
            self.remember(path, route)

    def remember(self, path: str, route: str) -> None:
        """Take a page into the sample."""
        if self._sample is not None:
            self._sample.add(path, route)

    def write(self) -> None:
        """Write the sample; before the journal, which must not know pages that the sample has lost."""
        if self._sample is not None:
            try:
                self._sample.flush()
            except OSError as error:
                raise JournalError(
                    f"{self._sample.path}: {error.strerror}; make room and start again: nothing that was written is lost"
                ) from None

    def check(self) -> None:
        """Once a second, ask again for a page that nginx has just said it keeps: a full disk shows at once."""
        if self._check is not None:
            self._queue.urgent.append(self._check)
        task, self._just_kept, self._check = self._just_kept, None, None
        if task is not None:
            # With the next tick. The end of the warm does not wait for it: the sample is asked for then.
            self._check = Task(self._still_kept, self._addresses.page(task.item.path), task.item, zone=task.zone)

    def _still_kept(self, task: Task, answer: Answer) -> None:
        if answer.status != 200:
            return
        self._lost_in_a_row = 0 if answer.cache == "HIT" else self._lost_in_a_row + 1
        if self._lost_in_a_row >= self._limits.lost_after:
            self.doubtful = True
            raise Stopped(
                f"nginx does not keep what it fetches: {self._lost_in_a_row} pages of zone {task.zone} in a "
                f"row were answered {answer.cache} a second later, e.g. {task.item.path}; see nginx's error "
                "log (is the disk full? is the zone too small?) and run the warm again"
            )

    def tasks(self, handle: Handle) -> Iterator[Task]:
        """Yield the requests for the sample: pages that nginx must still have."""
        if self._sample is None:
            return
        now = time.time()
        for kept_at, route, path in self._sample.read():
            if 0 <= now - kept_at < self._valid.get(route, 0) - 1:
                yield Task(handle, self._addresses.page(path), Item(path, "sample"))

    def sampled(self, task: Task, answer: Answer) -> bool:
        """Note how a page of the sample was answered; False where it must be asked for once more."""
        if is_temporary(answer) and answer.cache not in STALE and task.attempt < self._attempts:
            return False
        if answer.status == 200:
            self._report.sampled(task.item.path, answer.cache or "no X-Cache-Status")
        else:
            self._report.sampled(task.item.path, answer.error or f"HTTP {answer.status}")
        return True
