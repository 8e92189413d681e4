# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The sample of the warm's engine: pages that are asked for again must come from the cache."""

from __future__ import annotations

import pytest
from cache_warm_engine_samples import ROUTES, page, runner, server

from plugins.module_utils.nginx_cache.zone_files import valid_seconds


@pytest.fixture
def run(tmp_path):
    return runner(tmp_path)


def test_sample_is_asked_again_and_must_be_hit(run):
    kept = set()

    def item(path, refresh, now):
        if path in kept:
            return page(path, "HIT")
        if "id-7" not in path:
            kept.add(path)
        return page(path, "MISS")

    report, _ = run(server({"/images": 30}, item), sampled=True, sample_minimum=1000, forgets=True)
    examples = report.sample.pop("examples")
    assert report.sample == {"asked": 60, "hit": 58, "other": {"MISS": 2}} and len(examples) == 2
    report.sample["examples"] = examples
    assert "2 of 60 pages asked again were not answered from the cache (2 x MISS" in report.problem(0.99)


def test_sample_is_at_least_what_was_asked_for(run):
    report, _ = run(server({"/images": 1500}), sampled=True, sample_fraction=0.1)
    assert 300 <= report.sample["asked"] < 500


def test_sample_leaves_out_what_is_fresh_for_seconds_only(run):
    routes = tuple({**entry, "valid": "1s"} if entry["name"] == "metadata" else entry for entry in ROUTES)
    report, _ = run(server({"/images": 30}), sampled=True, sample_minimum=1000, routes=routes)
    assert report.sample["asked"] == 30


def test_notices_that_nginx_keeps_nothing(run):
    report, _ = run(server({"/images": 2000}), sampled=True, forgets=True)
    assert report.stopped.startswith("nginx does not keep what it fetches: 10 pages of zone ")
    assert report.outcomes["miss"] < 1000


@pytest.mark.parametrize(
    ("text", "seconds"), [("365d", 31536000), ("10s", 10), ("1h30m", 5400), ("90", 90), ("500ms", 0.5)]
)
def test_times_of_nginx(text, seconds):
    assert valid_seconds(text) == seconds
