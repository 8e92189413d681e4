# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What came of a warm, and how far it is: reports, status file, metrics."""

from __future__ import annotations

import json
import os
import re

import pytest

from plugins.module_utils.cache_warm import status
from plugins.module_utils.cache_warm.report import MAX_CAUSES, MAX_EXAMPLES, OTHER_CAUSES, Report, percent, table
from plugins.module_utils.cache_warm.sample import Sample


def report(total=100, **outcomes) -> Report:
    made = Report(total)
    made.outcomes.update(outcomes)
    return made


def test_coverage_is_of_all_pages():
    assert report(100, miss=50).coverage == 0.5
    assert report(100, hit=90, failed=10).coverage == 0.9
    assert report(100, miss=90, unsupported=5, absent=5).coverage == 1.0
    assert report(100, miss=60, left=40).coverage == 0.6
    assert report(0).coverage == 1.0
    # More than was expected.
    assert report(10, miss=20).coverage == 1.0


def test_percent_never_rounds_up_to_all():
    assert (percent(1.0), percent(0.999999), percent(0.99)) == ("100.00 %", "99.99 %", "99.00 %")


def test_failures_are_bounded_and_sorted():
    made = report()
    for number in range(1000):
        made.failed(f"/{number}", "HTTP 500")
        made.failed(f"/{number}", f"cause {number}")
    failures = made.as_dict()["failures"]
    assert len(failures) <= MAX_CAUSES + 1 and all(len(failure["examples"]) <= MAX_EXAMPLES for failure in failures)
    examples = [f"/{number}" for number in range(MAX_EXAMPLES)]
    assert failures[0] == {"cause": "HTTP 500", "count": 1000, "examples": examples}
    assert sum(failure["count"] for failure in failures) == 2000 and failures[1]["cause"] == OTHER_CAUSES


def test_problem_names_causes_and_sample():
    made = report(100, miss=90, failed=10)
    made.failed("/a", "HTTP 404")
    made.sampled("/b", "HIT")
    made.sampled("/c", "MISS")
    text = made.problem(0.99)
    assert "coverage 90.00 % is below minimum_coverage 99.00 %: 1 x HTTP 404, e.g. /a" in text
    assert "1 of 2 pages asked again were not answered from the cache (1 x MISS; e.g. /c)" in text
    assert "50.0 % of what was warmed is missing" in text
    assert report(100, miss=100).problem(1.0) == ""


def test_a_job_that_goes_on_counts_what_it_had_but_not_what_failed():
    made = report(100)
    made.resume({"miss": 40, "failed": 5, "unknown": 1})
    made.outcomes["hit"] += 60
    made.seconds = 10.0
    assert (made.done, made.outcomes["failed"], made.coverage, made.rate_per_second) == (100, 0, 1.0, 6.0)


def test_table_is_made_of_the_file():
    made = report(1000, miss=997, failed=3)
    for number in range(3):
        made.failed(f"/images/{number}", "HTTP 500")
    made.problems.append("urls line 3: rubbish; skipped")
    made.sampled("/a", "HIT")
    text = table(json.loads(json.dumps(made.as_dict(1, "too little"))))
    for wanted in (
        "exit status 1",
        "too little",
        "997",
        "3 x HTTP 500",
        "/images/2",
        "urls line 3",
        "1 of 1 were in the cache",
    ):
        assert wanted in text


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def shown(tmp_path):
    clock = Clock()
    made = status.Status(str(tmp_path / "status.json"), str(tmp_path / "warm.prom"), clock=clock)
    made.clock, made.directory = clock, tmp_path
    return made


def read(shown):
    return json.loads((shown.directory / "status.json").read_text())


def test_status_file(shown):
    shown.write("counting", report(None))
    assert [read(shown)[key] for key in ("total", "eta_seconds", "text")] == [None, None, "0 hit, 0 miss, counting"]
    shown.clock.now = 10.0
    shown.write("warming", report(100, miss=40, hit=10), concurrency=8, in_flight=7, latency_p95_seconds=0.1234)
    content = read(shown)
    assert (content["done"], content["rate_per_second"], content["eta_seconds"]) == (50, 5.0, 10)
    assert content["text"] == "10 hit, 40 miss, 8 at a time, p95 123 ms"
    assert content["pid"] == os.getpid()
    shown.write("stopped", report(100, miss=40), exit_status=4, message="why")
    assert (read(shown)["text"], read(shown)["exit_status"]) == ("why", 4)
    assert sorted(os.listdir(shown.directory)) == ["status.json", "warm.prom"]


def test_rate_is_of_the_last_half_minute(shown):
    for second in range(100):
        shown.clock.now = float(second)
        shown.write("warming", report(10**6, miss=1000 * min(second, 50)))
    assert read(shown)["rate_per_second"] == 0.0


def test_a_directory_that_is_gone_stops_nobody(tmp_path):
    status.Status(str(tmp_path / "gone" / "status.json"), str(tmp_path / "gone" / "m")).write("done", report())


def test_status_for_people(shown):
    shown.write("paused for visitors", report(2000, miss=500, failed=1), concurrency=4)
    content = read(shown)
    text = status.describe(content, content["updated_at"] + 2)
    assert "paused for visitors" in text and "501 of 2,000 (25.1 %)" in text and "warning" not in text
    assert "not updated for 1 min 30 s" in status.describe(content, content["updated_at"] + 90)
    shown.write("done", report(10, miss=10), exit_status=0)
    assert "ago with exit status 0" in status.describe(read(shown), read(shown)["updated_at"] + 5)


def test_metrics_are_in_the_text_format(shown):
    shown.write("warming", report(100, miss=40), concurrency=8, latency_p95_seconds=0.5)
    text = (shown.directory / "warm.prom").read_text()
    assert 'imaging_repository_cache_warm_pages{outcome="miss"} 40.0\n' in text
    names = re.findall(r"^# HELP (\S+) \S.*\n# TYPE (\S+) gauge$", text, re.MULTILINE)
    assert names and all(name == again for name, again in names)
    for line in text.splitlines():
        sample = re.fullmatch(r'imaging_repository_cache_warm_\w+(\{\w+="\w+"\})? -?[0-9.e+]+', line)
        assert line.startswith("# ") or sample, line
    # Not more often than a collector reads it, but the end at once.
    shown.clock.now = 1.0
    shown.write("warming", report(100, miss=60))
    assert 'pages{outcome="miss"} 40.0\n' in (shown.directory / "warm.prom").read_text()
    shown.write("done", report(100, miss=100), exit_status=0)
    assert 'pages{outcome="miss"} 100.0\n' in (shown.directory / "warm.prom").read_text()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min"), (65, "1 min 5 s"), (11520, "3 h 12 min"), (187200, "2 d 4 h")]
)
def test_duration(seconds, text):
    assert status.duration(seconds) == text


def test_sample_survives_a_kill(tmp_path):
    path = tmp_path / "sample"
    sample = Sample(str(path), False)
    sample.add("/a b", "tile")
    sample.add("/c", "tile")
    sample.flush()
    with open(path, "ab") as stream:
        stream.write(b"1700000000 tile /ha")
    again = Sample(str(path), True)
    again.add("/d", "tile")
    again.add("/c", "tile")
    assert [path for _, route, path in again.read() if route == "tile" and path != "/ha"] == ["/a b", "/c", "/d"]
    fresh = Sample(str(path), False)
    assert list(fresh.read()) == []
