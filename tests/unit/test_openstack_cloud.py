# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Writes to a cloud: their order, their overlap, what failures leave undone, and when a request is repeated."""

from __future__ import annotations

import threading
import time

import pytest

from plugins.module_utils import openstack_cloud
from plugins.module_utils.openstack_cloud import Cloud, CloudError, Passing, Until, Work, agrees


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


def cloud_without_login(patience_seconds: float = 10) -> Cloud:
    cloud = object.__new__(Cloud)
    cloud.name, cloud._patience_seconds = "embassy", patience_seconds
    return cloud


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(openstack_cloud.time, "sleep", lambda _seconds: None)
    return cloud_without_login()


def test_a_lost_answer_is_looked_up_before_the_request_is_repeated(hasty):
    requests = []

    def request() -> dict:
        requests.append(1)
        raise Passing("connection reset")

    assert hasty._patiently(request, lambda: {"id": "made"}) == {"id": "made"}
    assert len(requests) == 1


def test_a_request_without_effect_is_repeated(hasty):
    answers = [Passing("503"), Passing("reset"), {"id": "1"}]

    def request() -> dict:
        answer = answers.pop(0)
        if isinstance(answer, Passing):
            raise answer
        return answer

    assert hasty._patiently(request) == {"id": "1"}


def test_patience_ends():
    def request() -> dict:
        raise Passing("cloud embassy: compute does not answer")

    with pytest.raises(Passing, match="does not answer"):
        cloud_without_login(patience_seconds=0)._patiently(request)


@pytest.mark.parametrize(
    "status, message, words",
    [
        (401, "The password is expired", "the login was refused: The password is expired; check the user"),
        (403, "Quota exceeded for cores", "Quota exceeded for cores; ask the cloud for a higher quota"),
        (413, "VolumeLimitExceeded", "ask the cloud for a higher quota"),
        (403, "Policy does not allow this", "the account needs the role member"),
        (404, "Image not found", "not found: Image not found; it was removed meanwhile"),
        (409, "Port in use", "run this again when what it names has come to rest"),
        (503, "busy", "answers 503: busy; run this again later: it goes on where it stopped"),
    ],
)
def test_refusals_are_sentences(status, message, words):
    error = cloud_without_login()._refusal("compute", status, message, "POST /servers")
    assert words in str(error) and str(error).startswith("cloud embassy: compute")
    assert isinstance(error, Passing) == (status == 503)


@pytest.mark.parametrize(
    "resource, same",
    [
        ({"name": "v", "metadata": {"a": "1", "readonly": "no"}}, True),
        ({"name": "v", "metadata": {"a": "2"}}, False),
        ({"name": "v", "metadata": None}, False),
        ({"name": "w", "metadata": {"a": "1"}}, False),
    ],
)
def test_what_was_made_is_known_by_its_marks(resource, same):
    assert agrees(resource, {"name": "v", "metadata": {"a": "1"}, "size": 3}, ("name", "metadata")) == same
