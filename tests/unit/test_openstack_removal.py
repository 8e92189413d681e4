# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The removal of a site from an OpenStack cloud: all that carries its mark, and only the data that is named."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openstack_samples import (
    SITE,
    applied,
    first,
    hosts,
    site_of,
    want_of,
)

from plugins.module_utils.openstack.removal import age, removal
from plugins.module_utils.openstack.shapes import LISTED, Found

NOW = datetime.datetime(2026, 11, 22, 10, 0, tzinfo=datetime.UTC)


def removal_of(found: Found, destroy_volumes=()) -> dict:
    return {
        (step["kind"], step["name"]): (step["action"], step["detail"])
        for step in removal(want_of(SITE), found, destroy_volumes, NOW)
    }


def test_a_removal_tells_ages_and_keeps_volumes():
    steps = removal_of(applied(want_of(SITE)))
    assert steps["server", "demo-database"] == ("remove", "ACTIVE, 2 days old")
    assert steps["volume", "demo-database-db"][0] == "keep"
    assert "-e destroy_volumes=demo-database-db" in steps["volume", "demo-database-db"][1]
    assert {kind for (kind, _name), (action, _detail) in steps.items() if action == "remove"} == {
        "server",
        "port",
        "address",
        "router",
        "subnet",
        "network",
        "security group",
        "server group",
        "key pair",
    }


def test_only_the_named_volume_goes():
    steps = removal_of(applied(want_of(SITE)), ["demo-database-db"])
    assert steps["volume", "demo-database-db"] == ("remove", "20 GiB, with all data on it")
    assert steps["volume", "demo-proxy-cache"][0] == "keep"


def test_a_misspelt_volume_removes_nothing():
    action, detail = removal_of(applied(want_of(SITE)), ["demo-database-bd"])["volume", "demo-database-bd"]
    assert action == "refuse" and "did you mean 'demo-database-db'?" in detail


def test_a_removal_touches_nothing_without_the_mark():
    found = applied(want_of(SITE))
    first(found, "server", "demo-proxy")["metadata"] = {}
    first(found, "volume", "demo-proxy-cache")["metadata"] = {}
    first(found, "security group", "demo-cache")["description"] = ""
    steps = removal_of(found, [])
    assert not {("server", "demo-proxy"), ("volume", "demo-proxy-cache"), ("security group", "demo-cache")} & set(steps)


def test_a_network_with_a_strangers_server_stays():
    found = applied(want_of(SITE))
    found["port"].append(
        {
            "id": "theirs",
            "name": "their-port",
            "description": "",
            "device_id": "x",
            "device_owner": "compute:nova",
            "network_id": found["network"][0]["id"],
            "fixed_ips": [],
            "security_groups": [first(found, "security group", "demo")["id"]],
        }
    )
    steps = removal_of(found)
    for kind in ("network", "subnet", "router", "security group"):
        assert steps[kind, "demo"] == ("keep", "stays: ports that are not this site's use it: their-port")


def test_our_address_at_another_sites_host_stays():
    found = applied(want_of(SITE))
    found["address"][0]["port_id"] = "elsewhere"
    action, detail = removal_of(found)["address", found["address"][0]["floating_ip_address"]]
    assert action == "keep" and "elsewhere" in detail


@pytest.mark.parametrize(
    "created, words",
    [
        ("2026-11-22T09:59:30Z", "less than a minute old"),
        ("2026-11-22T09:00:00.000000", "1 hour old"),
        ("2026-11-12T09:00:00Z", "10 days old"),
        ("", ""),
    ],
)
def test_ages_are_words(created, words):
    assert age(created, NOW) == words


@given(hosts, st.sets(st.sampled_from(LISTED)))
@settings(deadline=None)
def test_a_removal_of_a_half_made_site_keeps_its_data(some_hosts, missing):
    want = want_of(site_of(some_hosts))
    found = applied(want).with_resources(**{kind: [] for kind in missing})
    removed = [step for step in removal(want, found, [], NOW) if step["action"] == "remove"]
    assert not {"volume", "snapshot"} & {step["kind"] for step in removed}
    assert len([step for step in removed if step["kind"] == "server"]) == len(found["server"])
