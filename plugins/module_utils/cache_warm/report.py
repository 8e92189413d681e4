# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What came of a warm: counts, failures by cause, the sample that was asked again; as JSON, as one line, as a table.

`<state_directory>/report.json` holds what Report.as_dict() returns.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping
from typing import Any

# How a page can end. hit: it was cached; miss: it was not, and is now; refreshed: it was fetched anew on purpose;
# skipped: not asked for, because its file, the journal or another page of the same key tells that it is there; absent:
# optional and not there; unsupported: the image servers cannot draw it; failed; left: not asked for, its zone is full.
OUTCOMES = ("hit", "miss", "refreshed", "skipped", "absent", "unsupported", "failed", "left")
# URLs that are named per cause; the journal holds all.
MAX_EXAMPLES = 20
# Causes that are told apart, in case every URL invents its own.
MAX_CAUSES = 50
OTHER_CAUSES = "other causes"


class Report:
    """The counts of a run; on resuming, of the whole job (`outcomes` from the journal)."""

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.requests = 0
        self.retries = 0
        self.size_bytes = 0
        self.seconds = 0.0
        self.resumed = False
        self.refresh = False
        self.stopped = ""
        self.started_at = time.time()
        # Of the pages that are cached; what the others were answered.
        self.by_cache_status: collections.Counter[str] = collections.Counter()
        self.by_status: collections.Counter[int] = collections.Counter()
        self.failures: dict[str, dict[str, Any]] = {}
        self.unsupported_examples: list[str] = []
        self.problems: list[str] = []
        self.sample: dict[str, Any] = {"asked": 0, "hit": 0, "other": {}, "examples": []}
        # What earlier runs of the job had done, without which the rate would lie.
        self._done_before = 0

    @property
    def done(self) -> int:
        return sum(self.outcomes.values()) - self.outcomes["left"]

    @property
    def coverage(self) -> float:
        """Fraction of all pages that are cached or that nobody could cache; 1.0 where there are none."""
        every = max(self.total or 0, self.done + self.outcomes["left"])
        return (self.done - self.outcomes["failed"]) / every if every else 1.0

    def resume(self, outcomes: dict[str, int]) -> None:
        """Take over what the journal holds of earlier runs, but for the failures: they are tried again."""
        self.resumed = True
        for outcome, number in outcomes.items():
            if outcome in self.outcomes and outcome != "failed":
                self.outcomes[outcome] += number
        self._done_before = self.done

    def failed(self, path: str, cause: str) -> None:
        """Note one example of a failure."""
        if cause not in self.failures and len(self.failures) >= MAX_CAUSES:
            cause = OTHER_CAUSES
        failure = self.failures.setdefault(cause, {"count": 0, "examples": []})
        failure["count"] += 1
        if len(failure["examples"]) < MAX_EXAMPLES:
            failure["examples"].append(path)

    def sampled(self, path: str, answer: str) -> None:
        """Note how a page of the sample was answered: HIT, another X-Cache-Status, or why there was no answer."""
        sample = self.sample
        sample["asked"] += 1
        if answer == "HIT":
            sample["hit"] += 1
            return
        sample["other"][answer] = sample["other"].get(answer, 0) + 1
        if len(sample["examples"]) < MAX_EXAMPLES:
            sample["examples"].append(path)

    def sample_problem(self) -> str:
        """Return what is wrong with the sample, or an empty string."""
        asked, hit = self.sample["asked"], self.sample["hit"]
        if hit == asked:
            return ""
        others = ", ".join(
            f"{number} x {answer}"
            for answer, number in sorted(self.sample["other"].items(), key=lambda entry: -entry[1])
        )
        return (
            f"{asked - hit} of {asked} pages asked again were not answered from the cache ({others}; e.g. "
            f"{self.sample['examples'][0]}): nginx did not keep them, so about "
            f"{100 * (asked - hit) / asked:.1f} % of what was warmed is missing; see nginx's error log, and the "
            "sizes of the zones in the report of cache.yml"
        )

    def problem(self, minimum_coverage: float) -> str:
        """Return why the run is a failure though it came to its end, or an empty string."""
        found = []
        if self.coverage < minimum_coverage:
            causes = "; ".join(
                f"{failure['count']} x {failure['cause']}, e.g. {failure['examples'][0]}"
                for failure in self._by_count()[:5]
            )
            found.append(
                f"coverage {percent(self.coverage)} is below minimum_coverage {percent(minimum_coverage)}: "
                f"{causes or 'pages were not reached'}; see to the causes and run the warm again: what is "
                "cached stays"
            )
        if self.sample_problem():
            found.append(self.sample_problem())
        return ". ".join(found)

    def summary(self) -> str:
        """Return the report in one line."""
        outcomes = self.outcomes
        counts = ", ".join(
            f"{outcomes[outcome]} {outcome}"
            for outcome in OUTCOMES
            if outcomes[outcome] or outcome in ("miss", "failed")
        )
        return (
            f"{self.done} of {max(self.total or 0, self.done)} pages done, {counts}, "
            f"coverage {percent(self.coverage)}, {self.seconds:.0f} s, {self.rate_per_second:.0f}/s"
        )

    @property
    def rate_per_second(self) -> float:
        """Pages per second of this run."""
        return (self.done - self._done_before) / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self, exit_status: int | None = None, message: str = "") -> dict[str, Any]:
        """Return the report as plain data; failures by cause, the most frequent first. Times in seconds since 1970."""
        return {
            "exit_status": exit_status,
            "message": message,
            "summary": self.summary(),
            "stopped": self.stopped,
            "total": max(self.total or 0, self.done),
            "done": self.done,
            **self.outcomes,
            "coverage": round(self.coverage, 6),
            "sample": self.sample,
            "failures": self._by_count(),
            "unsupported_examples": self.unsupported_examples,
            "problems": self.problems,
            "requests": self.requests,
            "retries": self.retries,
            "bytes": self.size_bytes,
            "by_cache_status": dict(self.by_cache_status.most_common()),
            "by_status": {
                "200": self.by_cache_status.total(),
                **{str(status or "none"): number for status, number in self.by_status.most_common()},
            },
            "seconds": round(self.seconds, 2),
            "rate_per_second": round(self.rate_per_second, 1),
            "resumed": self.resumed,
            "refresh": self.refresh,
            "started_at": round(self.started_at),
            "ended_at": round(time.time()),
        }

    def _by_count(self) -> list[dict[str, Any]]:
        return [
            {"cause": cause, **failure}
            for cause, failure in sorted(self.failures.items(), key=lambda entry: -entry[1]["count"])
        ]


def percent(fraction: float) -> str:
    """Return a fraction as a percentage that never rounds up to 100."""
    return f"{int(10000 * fraction + 1e-6) / 100:.2f} %"


def table(report: Mapping[str, Any]) -> str:
    """Return a report (as_dict) for people."""
    ended = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["ended_at"]))
    lines = [("ended", f"{ended}, exit status {report['exit_status']}")]
    if report["message"]:
        lines.append(("because", report["message"]))
    lines += [("pages", f"{report['done']:,} of {report['total']:,}"), ("coverage", percent(report["coverage"]))]
    lines += [(outcome, f"{report[outcome]:,}") for outcome in OUTCOMES if report[outcome] or outcome == "failed"]
    sample = report["sample"]
    if sample["asked"]:
        lines.append(("asked again", f"{sample['hit']:,} of {sample['asked']:,} were in the cache"))
    lines += [
        ("requests", f"{report['requests']:,}, {report['retries']:,} of them again"),
        ("received", f"{report['bytes'] / 1e6:,.1f} MB"),
        ("time", f"{report['seconds']:.0f} s, {report['rate_per_second']:.0f} pages per second"),
    ]
    text = [f"{name:12} {value}" for name, value in lines]
    for failure in report["failures"]:
        text += ["", f"{failure['count']:,} x {failure['cause']}"]
        text += [f"    {path}" for path in failure["examples"]]
        if failure["count"] > len(failure["examples"]):
            text.append(f"    and {failure['count'] - len(failure['examples']):,} more")
    if report["problems"]:
        text += ["", *report["problems"]]
    return "\n".join(text)
