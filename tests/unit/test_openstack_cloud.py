# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Requests to a cloud: when one is repeated, and the sentences that refusals become."""

from __future__ import annotations

import pytest

from plugins.module_utils.openstack import cloud as module
from plugins.module_utils.openstack.cloud import Cloud, Passing
from plugins.module_utils.openstack.kinds import agrees


def cloud_without_login(patience_seconds: float = 10) -> Cloud:
    cloud = object.__new__(Cloud)
    cloud.name, cloud._patience_seconds = "embassy", patience_seconds
    return cloud


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)
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
        (403, "Policy doesn't allow servers:create to be performed", "the account needs a role in the project"),
        (403, "Only volume-backed servers are allowed for flavors with zero disk", "write boot_volume_gib"),
        (403, "(rule:create_port) is disallowed by policy", "the account needs a role in the project"),
        (400, "Image image-1 is not active", "name another image in site.openstack.image"),
        (
            400,
            "ServerGroup policy is not supported",
            "answers 400: ServerGroup policy is not supported (POST /servers, ",
        ),
        (403, "Tenant is suspended", "not allowed: Tenant is suspended; the account is known and this is forbidden"),
        (404, "Image not found", "not found: Image not found; it was removed meanwhile, is not shared"),
        (404, "External network e is not reachable from subnet s", "write a floating IP of the network"),
        (400, "Instance and volume are not in the same availability_zone", "site.openstack.availability_zone"),
        (400, "Flavor's disk is too small for requested image", "choose a larger flavor"),
        (409, "No more IP addresses available on network n", "the network has no address left"),
        (400, "Something new", "answers 400: Something new (POST /servers, request req-1)"),
        (422, "", "answers 422: no reason given (POST /servers, request req-1)"),
        (409, "Port in use", "run this again when what it names has come to rest"),
        (429, "Over limit: 10 requests per minute", "run this again later: it goes on where it stopped"),
        (503, "busy", "answers 503: busy; run this again later: it goes on where it stopped"),
    ],
)
def test_refusals_are_sentences(status, message, words):
    error = cloud_without_login()._refusal("compute", status, message, "POST /servers, request req-1")
    assert words in str(error) and str(error).startswith("cloud embassy: compute")
    assert isinstance(error, Passing) == (status in (429, 503))


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
