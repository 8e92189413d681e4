# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How a module that runs long tells the controller how far it is: a small JSON file, replaced atomically."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

from . import private_file


class Progress:
    """Counts of a running job, written to `path` at most once per `interval_seconds`; the file goes when it is closed.

    A job never fails because its progress cannot be written. Without a path it only counts. It does no locking:
    where workers are threads, the one that collects their results calls update().

        with Progress(path, total=345) as progress:
            progress.update(done=120, failed=0)
    """

    def __init__(
        self,
        path: str | None,
        total: int | None = None,
        *,
        interval_seconds: float = 1.0,
        window_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.total = total
        self.done = 0
        self.failed = 0
        self.text = ""
        self._interval_seconds = interval_seconds
        self._window_seconds = window_seconds
        self._clock = clock
        self._written_at = float("-inf")
        self._samples = collections.deque([(clock(), 0)])

    def __enter__(self) -> Progress:
        self._write()
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def update(self, done: int, failed: int = 0, *, total: int | None = None, text: str | None = None) -> None:
        """Note how much is done (failed ones included); cheap enough to be called for every item."""
        self.done = done
        self.failed = failed
        if total is not None:
            self.total = total
        if text is not None:
            self.text = text
        if self._clock() - self._written_at >= self._interval_seconds:
            self._write()

    def snapshot(self) -> dict[str, Any]:
        """Return {done, total, rate_per_second, eta_seconds, failed, text}; total and eta_seconds may be None.

        The rate is that of the last `window_seconds`: what was fast an hour ago does not help to say when it ends.
        """
        now = self._clock()
        self._samples.append((now, self.done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_seconds:
            self._samples.popleft()
        started, done_then = self._samples[0]
        rate = (self.done - done_then) / (now - started) if now > started else 0.0
        left = None if self.total is None else max(0, self.total - self.done)
        return {
            "done": self.done,
            "total": self.total,
            "rate_per_second": round(rate, 2),
            "eta_seconds": round(left / rate) if left is not None and rate > 0 else None,
            "failed": self.failed,
            "text": self.text,
        }

    def close(self) -> None:
        """Remove the file: the module's result says the rest."""
        if self.path:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def _write(self) -> None:
        self._written_at = self._clock()
        snapshot = self.snapshot()
        if self.path:
            with contextlib.suppress(OSError):
                private_file.write(self.path, json.dumps(snapshot))
