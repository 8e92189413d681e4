# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the answers to pages mean, and what follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .addresses import Addresses
from .answer import STALE, Answer, cause_of, is_temporary, no_answer
from .items import NO_ITEM, Task
from .judge import KEPT, Judge
from .ledger import Ledger
from .limits import Limits, Stopped
from .pace import Room
from .proof import Proof
from .queue import Queue
from .transport import CONNECTION_REFUSED, retry_after_seconds


class Answers:
    """Tells what became of a page, or puts it off for another attempt.

    `cannot_draw`: statuses that mean "exists but cannot be drawn". Some image servers say so of every image while their
    database is away; so a page that was answered so is a suspect until the probe has found them well twice.
    `room`: set once the zones are measured. `look`: called when the engine should look at once whether a zone is full.
    """

    def __init__(
        self,
        addresses: Addresses,
        judge: Judge,
        ledger: Ledger,
        proof: Proof,
        queue: Queue,
        limits: Limits,
        *,
        attempts: int,
        cannot_draw: Iterable[int],
        refresh: bool,
        clock: Callable[[], float],
        look: Callable[[], None],
    ) -> None:
        self.room: Room | None = None
        # Nobody asks before this time, by the clock.
        self.paused_until = float("-inf")
        self._addresses = addresses
        self._judge = judge
        self._ledger = ledger
        self._proof = proof
        self._queue = queue
        self._limits = limits
        self._attempts = attempts
        self._cannot_draw = frozenset(cannot_draw)
        self._refresh = refresh
        self._clock = clock
        self._look = look
        self._suspects: list[Task] = []
        self._rechecking: list[Task] = []
        self._probing = False
        self._failed_in_a_row = 0
        self._overloaded_in_a_row = 0

    @property
    def waiting(self) -> int:
        """How many pages wait for the probe."""
        return len(self._suspects) + len(self._rechecking)

    def page(self, task: Task, answer: Answer) -> None:
        """Take the answer of the cache to a page."""
        if answer.status != 200:
            self._refused(task, answer)
            return
        outcome = KEPT.get(answer.cache)
        if outcome is None:
            if answer.cache in STALE:
                self._again_or_fail(task, answer, cause_of(answer), True)
            else:
                cause = f"nginx does not keep it (X-Cache-Status: {answer.cache or 'none'})"
                self._again_or_fail(task, answer, cause, False)
            return
        wrong = self._judge.wrong(task.route, answer)
        if wrong:
            # The cache would only say the same again.
            task.url = self._addresses.page(task.item.path, True)
            self._again_or_fail(task, answer, wrong, True)
            return
        if outcome == "refreshed" and not (self._refresh or task.item.refresh):
            # Asked for past the cache, because the cache had no right answer.
            outcome = "miss"
        self._failed_in_a_row = 0
        self._ledger.kept(task, answer, outcome)
        if task.zone:
            room = self.room
            if outcome == "miss" and room is not None and room.stored(task.zone, answer.size_bytes):
                self._look()
            self._proof.kept(task, outcome)

    def _refused(self, task: Task, answer: Answer) -> None:
        status = answer.status
        if status in self._cannot_draw:
            task.answer = answer
            self._suspects.append(task)
        elif status == 404 and task.item.optional:
            self._finish(task, answer, "absent")
        elif 300 <= status < 400:
            self._again_or_fail(task, answer, f"HTTP {status}, a redirect, which nginx does not keep", False)
        else:
            self._again_or_fail(task, answer, answer.error or f"HTTP {status}", is_temporary(answer))

    def reader_page(self, task: Task, answer: Answer) -> None:
        """Take the answer of an image server that was asked past the cache."""
        if answer.status == 200:
            # Drawn anew by each warm on purpose: nothing is new in nginx's cache.
            self._failed_in_a_row = 0
            self._ledger.kept(task, answer, "refreshed")
        elif answer.status in self._cannot_draw:
            # Nobody but the cache's own probe could say whether this reader is well.
            self._finish(task, answer, "unsupported")
        elif answer.status == 404 and task.item.optional:
            self._finish(task, answer, "absent")
        else:
            self._again_or_fail(task, answer, answer.error or f"HTTP {answer.status}", is_temporary(answer))

    def _finish(self, task: Task, answer: Answer, outcome: str) -> None:
        self._ledger.finished(task, answer.status, outcome)
        self._failed_in_a_row = 0

    def _again_or_fail(self, task: Task, answer: Answer, cause: str, temporary: bool) -> None:
        if temporary and task.attempt < self._attempts:
            self.again(task, answer)
            return
        self._ledger.failed(task, answer.status, cause)
        self._failed_in_a_row = self._failed_in_a_row + 1 if temporary else 0
        if self._failed_in_a_row >= self._limits.give_up_after:
            raise Stopped(
                f"{self._failed_in_a_row} pages in a row failed, the last one with: {cause}; see to the "
                "image servers and run the warm again: what is cached stays"
            )

    def again(self, task: Task, answer: Answer) -> None:
        """Put a task off for another attempt."""
        self._ledger.report.retries += 1
        pause_seconds = self._limits.pause_seconds(task.attempt, answer.error == CONNECTION_REFUSED)
        if answer.retry_after:
            pause_seconds = max(pause_seconds, self._retry_after_seconds(answer))
        task.attempt += 1
        self._queue.put_off(task, pause_seconds)

    def _retry_after_seconds(self, answer: Answer) -> float:
        seconds = retry_after_seconds(answer.retry_after, time.time()) or 0.0
        return min(seconds, self._limits.longest_retry_after_seconds)

    def overloaded(self, answer: Answer) -> None:
        """Nobody asks before the time that was named: at once where all are meant (429), else when it seems so."""
        self._overloaded_in_a_row += 1
        if answer.retry_after and (answer.status == 429 or self._overloaded_in_a_row >= 3):
            until = self._clock() + self._retry_after_seconds(answer)
            if until > self.paused_until:
                self.paused_until = until
                # The next look may be almost a second away, and no request may be made until then.
                self._look()

    def well(self) -> None:
        """Note that an answer came as it should."""
        self._overloaded_in_a_row = 0

    # --- Pages that the image servers say they cannot draw. ---

    def probe(self) -> None:
        """Ask whether the image servers are well, if there are suspects: one probe answers for all until now."""
        if self._suspects and not self._probing:
            self._probing, self._rechecking, self._suspects = True, self._suspects, []
            url = self._addresses.page(self._addresses.probe, True)
            self._queue.urgent.append(Task(self._probed, url, NO_ITEM))

    def _probed(self, task: Task, answer: Answer) -> None:
        if answer.status != 200 or answer.cache in STALE:
            if not is_temporary(answer) or task.attempt >= 2 * self._attempts:
                raise Stopped(no_answer(self._addresses.probe, answer, task.attempt))
            self.again(task, answer)
            return
        self._probing = False
        rechecked, self._rechecking = self._rechecking, []
        for suspect in rechecked:
            suspect.refused += 1
            # Refused, found well, refused again, found well again: it is the image and not the server.
            if suspect.refused >= 2 and suspect.answer is not None:
                self._finish(suspect, suspect.answer, "absent" if suspect.item.optional else "unsupported")
            else:
                # Past what nginx remembers for a moment of a failure that a visitor met.
                suspect.url = self._addresses.page(suspect.item.path, True)
                self._queue.put_off(suspect, 0.0)
