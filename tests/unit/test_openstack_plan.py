# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The plan of the OpenStack provider: what is found and what is wanted lead to exactly the right steps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openstack_samples import (
    OFFER,
    SITE,
    applied,
    first,
    hosts,
    nothing,
    problems_of,
    site_of,
    site_with,
    steps_of,
    want_of,
)

from plugins.module_utils.openstack.plan import plan
from plugins.module_utils.openstack.problems import asked, problems
from plugins.module_utils.openstack.shapes import LISTED


def test_a_new_site_is_created_whole():
    steps = steps_of(SITE, nothing())
    assert {action for action, _detail in steps.values()} == {"create"}
    assert {kind for kind, _name in steps} == {
        "key pair",
        "network",
        "subnet",
        "router",
        "security group",
        "server group",
        "volume",
        "port",
        "server",
        "attachment",
        "address",
    }
    assert problems_of(SITE, nothing()) == []


def test_the_plan_of_an_applied_plan_keeps_everything():
    found = applied(want_of(SITE))
    assert {action for action, _detail in steps_of(SITE, found).values()} == {"keep"}
    assert asked(plan(want_of(SITE), found), want_of(SITE)) == ()


@given(hosts)
@settings(deadline=None)
def test_any_site_is_done_after_one_run(some_hosts):
    want = want_of(site_of(some_hosts))
    assert {step["action"] for step in plan(want, nothing())} == {"create"}
    assert {step["action"] for step in plan(want, applied(want))} == {"keep"}


@given(hosts, hosts, st.data())
@settings(deadline=None)
def test_no_plan_of_a_site_that_shall_be_there_ever_removes(before, after, data):
    found = applied(want_of(site_of(before)))
    # Whatever is missing, failed or not ours:
    for kind in LISTED:
        found.resources[kind] = [resource for resource in found[kind] if data.draw(st.booleans())]
    for resource in found["server"] + found["volume"]:
        resource["status"] = data.draw(
            st.sampled_from(
                ["ACTIVE", "ERROR", "BUILD", "SHUTOFF", "available", "in-use", "error", "creating", "deleting"]
            )
        )
        if data.draw(st.booleans()):
            resource["metadata"] = {}
    want = want_of(site_of(after))
    steps = plan(want, found)
    assert {step["action"] for step in steps} <= {"keep", "create", "change", "refuse", "unknown"}
    problems(steps, want, found, OFFER)


def test_a_larger_volume_grows():
    found = applied(want_of(SITE))
    site = site_with("hosts.0.volumes.0", gib=30)
    assert steps_of(site, found)["volume", "demo-database-db"] == ("change", "20 -> 30 GiB")


def test_rules_are_opened_and_closed():
    found = applied(want_of(SITE))
    action, detail = steps_of(site_with("openstack", ssh_from=["203.0.113.0/24"]), found)[
        "security group", "demo-bastion"
    ]
    assert action == "change"
    assert detail == "open tcp 22 from 203.0.113.0/24, close tcp 22 from 192.0.2.0/24"


def test_a_host_in_another_group_gets_its_rules():
    found = applied(want_of(SITE))
    steps = steps_of(site_with("hosts.0", groups=["database", "image_server_primary"]), found)
    assert steps["security group", "demo-image_server_primary"][0] == "create"
    assert steps["port", "demo-database"] == (
        "change",
        "security groups demo, demo-database, demo-image_server_primary",
    )


def test_other_name_servers_are_given():
    found = applied(want_of(SITE))
    assert steps_of(site_with("openstack.network", dns=["192.0.2.53"]), found)["subnet", "demo"] == (
        "change",
        "dns the cloud's -> 192.0.2.53",
    )


def test_a_stopped_server_is_started():
    found = applied(want_of(SITE))
    first(found, "server", "demo-proxy")["status"] = "SHUTOFF"
    assert steps_of(SITE, found)["server", "demo-proxy"] == ("change", "start")


def test_a_lost_volume_attachment_is_made_again():
    found = applied(want_of(SITE))
    first(found, "volume", "demo-proxy-cache").update(status="available", attachments=[])
    steps = steps_of(SITE, found)
    assert steps["attachment", "demo-proxy-cache"] == ("create", "to demo-proxy")
    assert steps["volume", "demo-proxy-cache"][0] == "keep"


@pytest.mark.parametrize(
    "kind, name, status",
    [
        ("server", "demo-proxy", "BUILD"),
        ("volume", "demo-proxy-cache", "creating"),
        ("volume", "demo-proxy-cache", "attaching"),
    ],
)
def test_what_a_killed_run_began_is_waited_for(kind, name, status):
    found = applied(want_of(SITE))
    first(found, kind, name)["status"] = status
    assert steps_of(SITE, found)[kind, name] == ("change", f"wait: {status} since an earlier run")


def test_a_router_without_its_subnet_is_connected():
    found = applied(want_of(SITE))
    found.resources["port"] = found["port"][1:]
    assert steps_of(SITE, found)["router", "demo"] == ("change", "connect the subnet")
