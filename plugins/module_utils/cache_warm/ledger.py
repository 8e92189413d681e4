# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What has become of the pages: in the report, in the journal, and how far each source may be resumed."""

from __future__ import annotations

import collections

from .answer import Answer
from .items import Item, Segment, Task
from .journal import FAILED, Journal
from .judge import KEPT
from .report import MAX_EXAMPLES, Report


class Ledger:
    """Notes how pages end. `pending` holds the pages that are on their way; `segments` the stretches of the sources."""

    def __init__(self, journal: Journal, report: Report) -> None:
        self.journal = journal
        self.report = report
        self.pending: set[int] = set()
        self._segments: collections.deque[Segment] = collections.deque()
        self._kept: dict[str, list[int]] = {outcome: [] for outcome in set(KEPT.values())}

    def begin_segment(self, source: str, cursor: object) -> Segment:
        """Begin a stretch of a source that may be resumed at the cursor once the stretch is finished."""
        segment = Segment(source, cursor)
        self._segments.append(segment)
        return segment

    def begin(self, page: int, segment: Segment | None) -> None:
        """Note that a page is on its way."""
        self.pending.add(page)
        if segment is not None:
            segment.unfinished += 1

    def named_again(self, page: int) -> None:
        """Count a page that is known already; after a resume the journal's counts hold what it knows."""
        self.report.outcomes["skipped"] += not self.report.resumed or page in self.pending

    def skipped(self, page: int) -> None:
        """Note a page that is cached by its file."""
        self.report.outcomes["skipped"] += 1
        self.journal.note(page, "skipped")

    def left_at_once(self, segment: Segment | None) -> None:
        """Note a page that is not begun, because its zone is full; see Segment."""
        self.report.outcomes["left"] += 1
        if segment is not None:
            segment.unfinished += 1

    def left(self, task: Task) -> None:
        """Note a page that was to be asked for and is not, because its zone is full; see Segment."""
        self.report.outcomes["left"] += 1
        self.pending.discard(task.page)

    def kept(self, task: Task, answer: Answer, outcome: str) -> None:
        """Note a page that nginx keeps."""
        report = self.report
        report.outcomes[outcome] += 1
        report.by_cache_status[answer.cache] += 1
        report.size_bytes += answer.size_bytes
        self._kept[outcome].append(task.page)
        self.pending.discard(task.page)
        segment = task.segment
        if segment is not None:
            segment.unfinished -= 1

    def finished(self, task: Task, status: int, outcome: str) -> None:
        """Note a page that is done without being kept: absent or unsupported."""
        self.report.outcomes[outcome] += 1
        self.report.by_status[status] += 1
        if outcome == "unsupported" and len(self.report.unsupported_examples) < MAX_EXAMPLES:
            self.report.unsupported_examples.append(task.item.path)
        self.journal.note(task.page, outcome)
        self._release(task)

    def failed(self, task: Task, status: int, cause: str) -> None:
        """Note a page that failed for good."""
        self.report.by_status[status] += 1
        self.failed_at_once(task.item, task.page, cause)
        self._release(task)

    def failed_at_once(self, item: Item, page: int, cause: str) -> None:
        """Note a page that nobody needs to ask for."""
        self.report.outcomes["failed"] += 1
        self.report.failed(item.path, cause)
        self.journal.note(page, FAILED, item, cause)

    def note_kept(self) -> None:
        """Note in the journal what was kept since the last time, all at once: it is most of what there is to note."""
        for outcome, pages in self._kept.items():
            if pages:
                self.journal.note_all(pages, outcome)
                pages.clear()

    def save(self) -> None:
        """Commit what is finished, and from where on the sources need to be read again."""
        self.note_kept()
        while self._segments and not self._segments[0].unfinished:
            segment = self._segments.popleft()
            self.journal.set_cursor(segment.source, segment.cursor)
        self.journal.commit()

    def _release(self, task: Task) -> None:
        self.pending.discard(task.page)
        if task.segment is not None:
            task.segment.unfinished -= 1
