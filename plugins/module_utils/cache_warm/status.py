# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How far a warm is: for the playbook's live line, for people on the host and for Prometheus.

`<runtime_directory>/status.json`, replaced once per second and once more at the end:

| key | meaning |
| --- | --- |
| state | counting, warming, sampling, `waiting for 22:30`, `waiting 9 s ...`, `paused for visitors`, done or stopped |
| done, total, failed | pages; failed ones are done, too; total is null while it is not known |
| rate_per_second, eta_seconds | of the last half minute; eta_seconds is null while it is not known |
| hit, miss, refreshed, skipped, absent, unsupported, left | what the done ones came to, see report.py |
| concurrency, in_flight, latency_p95_seconds | how hard the image servers are pressed, how they take it (or null) |
| text | the same in words, for the end of a line of progress |
| pid, started_at, updated_at | who wrote it, when the run began and when it was written (seconds since 1970) |
| exit_status, message | null and empty until the end: what the process ended with, and why |
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from .. import files, prometheus
from ..prometheus import Family
from .report import OUTCOMES, Report

FINAL_STATES = ("done", "stopped")


class Status:
    """Writes the status file and the metrics of a run. A run never fails because these cannot be written.

    `path` and `metrics_path` may be empty: then nothing is written there.
    """

    def __init__(
        self,
        path: str,
        metrics_path: str = "",
        *,
        window_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._metrics_path = metrics_path
        self._window_seconds = window_seconds
        self._clock = clock
        self._samples: collections.deque[tuple[float, int]] = collections.deque()
        self._metrics_written_at = float("-inf")
        self._started_at = time.time()
        if metrics_path:
            with contextlib.suppress(ImportError):
                prometheus.require()

    def write(
        self,
        state: str,
        report: Report,
        *,
        concurrency: int = 0,
        in_flight: int = 0,
        latency_p95_seconds: float | None = None,
        exit_status: int | None = None,
        message: str = "",
    ) -> None:
        """Write how far the run is; a final `state` also writes the metrics at once."""
        rate = self._rate(report.done)
        left = None if report.total is None else max(0, report.total - report.done)
        status: dict[str, Any] = {
            "state": state,
            "done": report.done,
            "total": report.total,
            "failed": report.outcomes["failed"],
            "rate_per_second": round(rate, 2),
            "eta_seconds": round(left / rate) if left is not None and rate > 0 else None,
            **{outcome: report.outcomes[outcome] for outcome in OUTCOMES},
            "concurrency": concurrency,
            "in_flight": in_flight,
            "latency_p95_seconds": None if latency_p95_seconds is None else round(latency_p95_seconds, 4),
            "pid": os.getpid(),
            "started_at": round(self._started_at, 3),
            "updated_at": round(time.time(), 3),
            "exit_status": exit_status,
            "message": message,
        }
        status["text"] = _text(status)
        with contextlib.suppress(OSError):
            if self._path:
                files.write(self._path, json.dumps(status))
        if self._metrics_path and (state in FINAL_STATES or self._clock() - self._metrics_written_at >= 15):
            self._metrics_written_at = self._clock()
            with contextlib.suppress(OSError, ImportError):
                prometheus.write(self._metrics_path, metrics(status, report))

    def _rate(self, done: int) -> float:
        """Return the pages per second of the last window: what was fast an hour ago does not say when it ends."""
        now = self._clock()
        self._samples.append((now, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_seconds:
            self._samples.popleft()
        started, done_then = self._samples[0]
        return (done - done_then) / (now - started) if now > started else 0.0


def _text(status: Mapping[str, Any]) -> str:
    if status["state"] in FINAL_STATES:
        return str(status["message"] or status["state"])
    counts = f"{status['hit'] + status['skipped']} hit, {status['miss']} miss"
    if status["state"] != "warming":
        return f"{counts}, {status['state']}"
    latency = status["latency_p95_seconds"]
    at_a_time = f"{counts}, {status['concurrency']} at a time"
    return at_a_time if latency is None else f"{at_a_time}, p95 {1000 * latency:.0f} ms"


def duration(seconds: float) -> str:
    """Return `seconds` as people say it: 10 s, 4 min 5 s, 3 h 12 min, 2 d 4 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    size, unit, smaller, smaller_unit = next(
        row for row in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")) if seconds >= row[0]
    )
    rest = seconds % size // smaller
    return f"{seconds // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")


def describe(status: Mapping[str, Any], now: float) -> str:
    """Return a status file's content for people; `now` in seconds since 1970."""
    age_seconds = max(0.0, now - status["updated_at"])
    done = f"{status['done']:,}" + ("" if status["total"] is None else f" of {status['total']:,}")
    percent = f" ({100 * status['done'] / status['total']:.1f} %)" if status["total"] else ""
    lines = [("state", status["state"]), ("done", done + percent)]
    if status["state"] in FINAL_STATES:
        lines.append(("ended", f"{duration(age_seconds)} ago with exit status {status['exit_status']}"))
        if status["message"]:
            lines.append(("because", status["message"]))
    else:
        left = "not known" if status["eta_seconds"] is None else duration(status["eta_seconds"])
        lines += [
            ("rate", f"{status['rate_per_second']:.1f} per second, {left} left"),
            ("requests", f"{status['in_flight']} in flight, {status['concurrency']} allowed"),
            ("running", f"for {duration(now - status['started_at'])}, process {status['pid']}"),
        ]
        if status["latency_p95_seconds"] is not None:
            lines.append(("latency", f"{1000 * status['latency_p95_seconds']:.0f} ms (95 % of the answers are faster)"))
        if age_seconds > 30:
            lines.append(("warning", f"not updated for {duration(age_seconds)}; see: systemctl status cache-warm"))
    lines += [(outcome, f"{status[outcome]:,}") for outcome in OUTCOMES if status[outcome] or outcome == "failed"]
    return "\n".join(f"{name:12} {value}" for name, value in lines)


def metrics(status: Mapping[str, Any], report: Report) -> list[Family]:
    """Return a status as metrics."""

    def gauge(name: str, text: str) -> Family:
        return Family(f"cache_warm_{name}", "gauge", text)

    pages = gauge("pages", "Pages of the present or last run by what they came to.")
    for outcome in OUTCOMES:
        pages.add(status[outcome], outcome=outcome)
    return [
        pages,
        gauge("pages_total_expected", "Pages that the present or last run has to do.").add(status["total"]),
        gauge("retries", "Requests of the present or last run that were made again.").add(report.retries),
        gauge("received_bytes", "Bytes of answers that the present or last run received.").add(report.size_bytes),
        gauge("rate_pages_per_second", "Pages per second of the last half minute.").add(status["rate_per_second"]),
        gauge("concurrency", "Requests that may be in flight.").add(status["concurrency"]),
        gauge("latency_p95_seconds", "95th percentile of the answers' latency.").add(status["latency_p95_seconds"]),
        gauge("coverage_ratio", "Fraction of all pages that are cached or that nobody could cache.").add(
            round(report.coverage, 6)
        ),
        gauge("running", "1 while a warm runs.").add(int(status["state"] not in FINAL_STATES)),
        gauge("exit_status", "Exit status of the last run.").add(status["exit_status"]),
        gauge("updated_timestamp_seconds", "When these figures were written.").add(status["updated_at"]),
    ]
