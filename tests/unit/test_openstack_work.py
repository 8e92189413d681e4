# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Writes to a cloud: their order, their overlap, and what failures leave undone."""

from __future__ import annotations

import graphlib
import threading
import time

import pytest

from plugins.module_utils.openstack.cloud import CloudError
from plugins.module_utils.openstack.work import Until, Work


class Listing:
    """A cloud whose listings are what the test says."""

    def __init__(self, *listings: list[dict]):
        self.listings, self.asked = list(listings), []

    def list(self, kind: str) -> list[dict]:
        self.asked.append(kind)
        return self.listings.pop(0) if len(self.listings) > 1 else self.listings[0]


def active(resource: dict | None) -> bool:
    if resource and resource["status"] == "ERROR":
        raise CloudError("is in ERROR")
    return bool(resource) and resource["status"] == "ACTIVE"


def test_steps_run_after_what_they_need():
    order, work = [], Work(Listing([]), 4)
    work.add(("server", "a"), lambda: order.append("server") or {}, [("port", "a"), ("key pair", "k")])
    work.add(("port", "a"), lambda: order.append("port") or {}, [("network", "n")])
    work.add(("network", "n"), lambda: order.append("network") or {})
    work.have(("key pair", "k"), {})
    work.run()
    assert order == ["network", "port", "server"]


def test_what_does_not_need_each_other_runs_together_within_the_bound():
    lock, now, most = threading.Lock(), [], []

    def step() -> dict:
        with lock:
            now.append(1)
            most.append(len(now))
        time.sleep(0.02)
        with lock:
            now.pop()
        return {}

    work = Work(Listing([]), 3)
    for number in range(12):
        work.add(("volume", str(number)), step)
    work.run()
    assert max(most) == 3


def test_one_listing_serves_all_that_wait():
    listing = Listing(
        [{"id": str(number), "status": "BUILD"} for number in range(5)],
        [{"id": str(number), "status": "ACTIVE"} for number in range(5)],
    )
    work = Work(listing, 5)
    for number in range(5):
        work.add(("server", f"s{number}"), lambda number=number: {"id": str(number)}, until=Until("server", active, 9))
    work.run()
    assert len(listing.asked) == 2
    assert {resource["status"] for resource in work.results.values()} == {"ACTIVE"}


def test_a_failure_stops_only_what_needs_it_and_all_failures_are_told():
    def fail() -> dict:
        raise CloudError("no room")

    work = Work(Listing([{"id": "2", "status": "ERROR"}]), 2)
    work.add(("server", "a"), fail)
    work.add(("server", "b"), lambda: {"id": "2"}, until=Until("server", active, 9))
    work.add(("attachment", "a"), lambda: pytest.fail("must not run"), [("server", "a")])
    work.add(("volume", "v"), lambda: {"id": "3"})
    with pytest.raises(CloudError) as failure:
        work.run()
    assert sorted(str(failure.value).splitlines()) == ["server a: no room", "server b: is in ERROR"]
    assert ("volume", "v") in work.results


def test_what_takes_too_long_is_named():
    work = Work(Listing([{"id": "1", "status": "BUILD"}]), 2)
    work.add(("server", "a"), lambda: {"id": "1"}, until=Until("server", active, 0))
    with pytest.raises(CloudError, match="server a: still BUILD after 0 s; look at it with openstack server show 1"):
        work.run()


def test_what_is_there_already_frees_what_needs_it_and_earlier_steps_go_first():
    order, work = [], Work(Listing([]), 1)
    work.have(("network", "n"), {})
    work.have(("subnet", "n"), {})
    for name in ("c", "a", "b"):
        work.add(("port", name), lambda name=name: order.append(name) or {}, [("network", "n"), ("subnet", "n")])
    work.run()
    assert order == ["c", "a", "b"]


def test_steps_that_need_each_other_in_a_circle_are_a_mistake():
    work = Work(Listing([]), 1)
    work.add(("port", "a"), dict, [("port", "b")])
    work.add(("port", "b"), dict, [("port", "a")])
    with pytest.raises(graphlib.CycleError):
        work.run()
